//! `fetch`: what can be tested without the published server.

use super::command::{TempFolder, einthoven, files_below, mitdb};

#[test]
fn a_server_that_is_not_there_ends_with_4_and_an_unknown_name_with_2() {
    let folder = TempFolder::new("fetch");
    let unknown = einthoven(["fetch", "mitbd", "--out", &folder.at("x"), "--json"]);
    assert_eq!((unknown.code, &unknown.error()["exit_code"]), (2, &2.into()));
    // Port 1 of this machine answers nobody.
    let nobody = einthoven(["fetch", "mitdb", "--out", &folder.at("x"), "--base-url", "http://127.0.0.1:1/", "--json"]);
    assert_eq!((nobody.code, &nobody.error()["exit_code"]), (4, &4.into()));
}

#[test]
fn files_that_are_there_are_not_fetched_again() {
    let Some(data) = mitdb() else { return };
    let folder = TempFolder::new("there");
    for entry in std::fs::read_dir(data).expect("a folder") {
        let from = entry.expect("an entry").path();
        if from.is_file() {
            std::fs::copy(&from, folder.path().join(from.file_name().expect("a name"))).expect("copied");
        }
    }
    let kept = files_below(folder.path());
    let found = einthoven(["fetch", "mitdb", "--out", &folder.at(""), "--base-url", "http://127.0.0.1:1/", "--json"]);
    // Lists that no command needs may be missing; nothing that is there may be asked for.
    if let Some(path) = (found.code == 4).then(|| found.error()["path"].as_str().unwrap_or_default().to_string()) {
        let name = path.trim_end_matches(".partial").rsplit('/').next().unwrap_or_default().to_string();
        assert!(!kept.iter().any(|(kept, _)| kept.ends_with(&name)), "{name} was fetched again");
    } else {
        assert_eq!(found.json()["fetched"]["n_fetched"], 0);
    }
    for (name, bytes) in kept {
        assert_eq!(std::fs::read(folder.path().join(&name)).expect("still there"), bytes, "{}", name.display());
    }
}
