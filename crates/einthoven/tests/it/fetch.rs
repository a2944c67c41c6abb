//! Downloads, against a server on loopback.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use einthoven::dataset::catalog::{DATABASES, PublishedFile, database, mitdb};
use einthoven::dataset::fetch::{Fetched, fetch, fetch_files, fetch_part, parse_list};
use sha2::{Digest, Sha256};

use super::dataset::Scratch;

/// How the server misbehaves.
#[derive(Clone, Copy, PartialEq)]
enum Manner {
    /// Not at all.
    Good,
    /// Every answer stops after this many bytes of the body, although its length promised more.
    Cuts(usize),
    /// The same, by a server that ignores ranges, for its first answers only.
    CutsOnceWithoutRange(usize),
    /// One bit of every body is wrong.
    Corrupts,
    /// One bit of the first body is wrong.
    CorruptsOnce,
    /// Ranges are answered from another place than asked.
    WrongRange,
    /// Overloaded for the first two requests.
    BusyTwice,
}

/// A small HTTP/1.1 server; it ends with the process.
struct Server {
    url: String,
    n_requests: Arc<AtomicUsize>,
    ranges: Arc<Mutex<Vec<u64>>>,
}

impl Server {
    fn start(files: &[(&'static str, Vec<u8>)], manner: Manner) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}/db/", listener.local_addr().expect("address"));
        let (n_requests, ranges) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
        let files: BTreeMap<String, Vec<u8>> =
            files.iter().map(|(name, bytes)| (format!("/db/{name}"), bytes.clone())).collect();
        let (count, seen) = (n_requests.clone(), ranges.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                answer(stream, &files, manner, &count, &seen);
            }
        });
        Server { url, n_requests, ranges }
    }
}

fn answer(
    stream: TcpStream,
    files: &BTreeMap<String, Vec<u8>>,
    manner: Manner,
    count: &AtomicUsize,
    seen: &Mutex<Vec<u64>>,
) {
    let mut lines = BufReader::new(stream.try_clone().expect("handle")).lines();
    let Some(Ok(request)) = lines.next() else { return };
    let path = request.split(' ').nth(1).unwrap_or("").to_string();
    let mut range = None;
    for line in lines.map_while(Result::ok).take_while(|line| !line.is_empty()) {
        if let Some(from) = line.to_ascii_lowercase().strip_prefix("range: bytes=") {
            range = from.trim_end_matches('-').parse::<usize>().ok();
        }
    }
    let number = count.fetch_add(1, Ordering::SeqCst);
    let mut stream = stream;
    let Some(bytes) = files.get(&path) else {
        let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        return;
    };
    if manner == Manner::BusyTwice && number < 2 {
        let _ = stream.write_all(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        return;
    }
    let knows_ranges = !matches!(manner, Manner::CutsOnceWithoutRange(_));
    let from = range.filter(|_| knows_ranges);
    if let Some(from) = from {
        seen.lock().expect("no panic while held").push(from as u64);
    }
    let mut body = bytes[from.unwrap_or(0).min(bytes.len())..].to_vec();
    if manner == Manner::Corrupts || (manner == Manner::CorruptsOnce && number == 0) {
        body[0] ^= 1;
    }
    let said = from.map(|from| if manner == Manner::WrongRange { from + 1 } else { from });
    let head = match said {
        Some(from) => format!(
            "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {from}-{}/{}\r\n",
            bytes.len() - 1,
            bytes.len()
        ),
        None => "HTTP/1.1 200 OK\r\n".to_string(),
    };
    let head = format!("{head}Content-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    let cut = match manner {
        Manner::Cuts(n) => n,
        Manner::CutsOnceWithoutRange(n) if number == 0 => n,
        Manner::WrongRange if number == 0 => 1000,
        _ => usize::MAX,
    };
    let _ = stream.write_all(head.as_bytes());
    let _ = stream.write_all(&body[..body.len().min(cut)]);
}

fn content(n: usize) -> Vec<u8> {
    (0..n).map(|i| (i * i / 7 + i) as u8).collect()
}

fn published(path: &'static str, bytes: &[u8]) -> PublishedFile {
    let sum: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    PublishedFile { path, sha256: sum.leak(), n_bytes: bytes.len() as u64 }
}

const SIZE: usize = 300_000;

#[test]
fn files_are_fetched_once_and_progress_ends_at_the_total() {
    let (a, b) = (content(SIZE), content(10));
    let server = Server::start(&[("a.dat", a.clone()), ("b.hea", b.clone())], Manner::Good);
    let scratch = Scratch::new("fetch-good");
    let files = [published("a.dat", &a), published("b.hea", &b)];
    let mut seen = Vec::new();
    let fetched =
        fetch_files(&files, &scratch.0, &server.url, &mut |p| seen.push((p.n_bytes_done, p.n_bytes))).expect("fetched");
    assert_eq!(fetched, Fetched { n_fetched: 2, n_present: 0, n_bytes_received: (SIZE + 10) as u64 });
    assert_eq!(std::fs::read(scratch.0.join("a.dat")).expect("file"), a);
    assert!(seen.windows(2).all(|pair| pair[0].0 <= pair[1].0), "progress runs forward");
    assert_eq!(seen.last(), Some(&((SIZE + 10) as u64, (SIZE + 10) as u64)));

    std::fs::write(scratch.0.join("b.hea"), "damaged").expect("write");
    let again = fetch_files(&files, &scratch.0, &server.url, &mut |_| ()).expect("repaired");
    assert_eq!(again, Fetched { n_fetched: 1, n_present: 1, n_bytes_received: 10 });
    assert_eq!(server.n_requests.load(Ordering::SeqCst), 3);
    assert_eq!(std::fs::read_dir(&scratch.0).expect("folder").count(), 2, "no partial file stays");
}

#[test]
fn cut_connections_resume_where_they_stopped() {
    let a = content(SIZE);
    let server = Server::start(&[("a.dat", a.clone())], Manner::Cuts(100_000));
    let scratch = Scratch::new("fetch-cut");
    let fetched = fetch_files(&[published("a.dat", &a)], &scratch.0, &server.url, &mut |_| ()).expect("resumed");
    assert_eq!(fetched.n_bytes_received, SIZE as u64, "no byte twice");
    assert_eq!(*server.ranges.lock().expect("free"), [100_000, 200_000]);
    assert_eq!(std::fs::read(scratch.0.join("a.dat")).expect("file"), a);
}

#[test]
fn endless_cuts_fail_with_what_was_reached_and_a_second_call_goes_on() {
    let a = content(SIZE);
    let scratch = Scratch::new("fetch-stop");
    let server = Server::start(&[("a.dat", a.clone())], Manner::Cuts(20_000));
    let error = fetch_files(&[published("a.dat", &a)], &scratch.0, &server.url, &mut |_| ())
        .expect_err("five times 20,000 bytes");
    assert_eq!(error.exit_code(), 4);
    assert!(error.to_string().contains("100000 of 300000 bytes"), "{error}");
    assert!(!scratch.0.join("a.dat").exists());
    let better = Server::start(&[("a.dat", a.clone())], Manner::Good);
    let fetched = fetch_files(&[published("a.dat", &a)], &scratch.0, &better.url, &mut |_| ()).expect("goes on");
    assert_eq!(fetched.n_bytes_received, 200_000);
}

#[test]
fn server_without_ranges_begins_again() {
    let a = content(SIZE);
    let server = Server::start(&[("a.dat", a.clone())], Manner::CutsOnceWithoutRange(120_000));
    let scratch = Scratch::new("fetch-norange");
    let fetched = fetch_files(&[published("a.dat", &a)], &scratch.0, &server.url, &mut |_| ()).expect("fetched");
    assert_eq!(fetched.n_bytes_received, 420_000);
    assert_eq!(std::fs::read(scratch.0.join("a.dat")).expect("file"), a);
}

#[test]
fn wrong_range_is_not_glued_to_what_is_there() {
    let a = content(SIZE);
    let server = Server::start(&[("a.dat", a.clone())], Manner::WrongRange);
    let scratch = Scratch::new("fetch-wrongrange");
    fetch_files(&[published("a.dat", &a)], &scratch.0, &server.url, &mut |_| ()).expect("begun again");
    assert_eq!(std::fs::read(scratch.0.join("a.dat")).expect("file"), a);
}

#[test]
fn f01_corrupted_file_is_refused_and_not_kept() {
    let a = content(SIZE);
    let scratch = Scratch::new("fetch-corrupt");
    let server = Server::start(&[("a.dat", a.clone())], Manner::Corrupts);
    let file = published("a.dat", &a);
    let error =
        fetch_files(std::slice::from_ref(&file), &scratch.0, &server.url, &mut |_| ()).expect_err("another file");
    assert_eq!((error.code(), error.exit_code()), (Some("F01"), 3));
    assert!(error.to_string().contains(file.sha256) && error.to_string().contains("mirror"), "{error}");
    assert_eq!(std::fs::read_dir(&scratch.0).expect("folder").count(), 0);
    // Damage on the way once is repaired by fetching afresh.
    let once = Server::start(&[("a.dat", a.clone())], Manner::CorruptsOnce);
    fetch_files(&[file], &scratch.0, &once.url, &mut |_| ()).expect("second copy is right");
}

#[test]
fn busy_server_is_asked_again_and_a_missing_file_is_not() {
    let a = content(1000);
    let scratch = Scratch::new("fetch-status");
    let busy = Server::start(&[("a.dat", a.clone())], Manner::BusyTwice);
    fetch_files(&[published("a.dat", &a)], &scratch.0, &busy.url, &mut |_| ()).expect("third request");
    assert_eq!(busy.n_requests.load(Ordering::SeqCst), 3);
    let good = Server::start(&[], Manner::Good);
    let error = fetch_files(&[published("b.dat", &a)], &scratch.0, &good.url, &mut |_| ()).expect_err("404");
    assert!(error.exit_code() == 4 && error.to_string().contains("HTTP 404"), "{error}");
    assert_eq!(good.n_requests.load(Ordering::SeqCst), 1);
}

#[test]
fn catalogue_knows_the_sum_of_every_mitdb_file() {
    let files = database("mitdb").expect("entry").files();
    assert_eq!(files.len(), 48 * 3 + 1);
    for record in mitdb::RECORDS {
        for extension in ["hea", "dat", "atr"] {
            let name = format!("{record}.{extension}");
            let file = files.iter().find(|file| file.path == name).expect("listed");
            assert!(file.sha256.len() == 64 && file.n_bytes > 0);
        }
    }
    for database in DATABASES {
        assert!(database.url().is_empty() || (database.url().starts_with("https://") && database.url().ends_with('/')));
    }
    let error = fetch("mitbd", std::path::Path::new("unused"), None, &mut |_| ()).expect_err("unknown");
    assert!(error.to_string().contains("did you mean \"mitdb\""), "{error}");
}

#[test]
fn mitdb_comes_from_a_mirror_by_name() {
    let Some(folder) = super::dataset::mitdb_folder() else { return };
    let files = database("mitdb").expect("entry").files();
    let content: Vec<(&'static str, Vec<u8>)> =
        files.iter().map(|file| (file.path, std::fs::read(folder.join(file.path)).expect("shared file"))).collect();
    let server = Server::start(&content, Manner::Good);
    let scratch = Scratch::new("fetch-mitdb");
    let fetched = fetch("mitdb", &scratch.0, Some(&server.url), &mut |_| ()).expect("fetched");
    assert_eq!((fetched.n_fetched, fetched.n_present), (145, 0));
    let again = fetch("mitdb", &scratch.0, Some(&server.url), &mut |_| ()).expect("nothing to do");
    assert_eq!((again.n_fetched, again.n_present), (0, 145));
}

/// Lines of `sha256sum` for files.
fn list_of(files: &[(&'static str, Vec<u8>)]) -> Vec<u8> {
    files.iter().map(|(path, bytes)| format!("{}  {path}\n", published(path, bytes).sha256)).collect::<String>().into()
}

/// The files of a small LUDB with its list of checksums.
fn listed() -> Vec<(&'static str, Vec<u8>)> {
    let mut files = vec![("data/1.dat", content(5000)), ("data/1.hea", content(70)), ("ludb.csv", content(300))];
    files.push(("SHA256SUMS.txt", list_of(&files)));
    files
}

#[test]
fn a_database_without_built_in_sums_is_checked_against_the_list_of_its_server() {
    let server = Server::start(&listed(), Manner::Good);
    let scratch = Scratch::new("fetch-list");
    let mut last = (0, 0);
    let fetched = fetch("ludb", &scratch.0, Some(&server.url), &mut |p| last = (p.n_bytes_done, p.n_bytes));
    assert_eq!(fetched.expect("fetched"), Fetched { n_fetched: 3, n_present: 0, n_bytes_received: 5370 });
    assert_eq!(last, (5370, 5370));
    assert_eq!(std::fs::read(scratch.0.join("data/1.dat")).expect("file"), content(5000));
    let again = fetch("ludb", &scratch.0, Some(&server.url), &mut |_| ()).expect("nothing to do");
    assert_eq!((again.n_fetched, again.n_present), (0, 3));

    let part = Scratch::new("fetch-part");
    let only = ["ludb.csv".to_string()];
    let fetched = fetch_part("ludb", &part.0, Some(&server.url), &only, &mut |_| ()).expect("one file");
    assert_eq!(fetched.n_fetched, 1);
    assert!(!part.0.join("data").exists());
    let error = fetch_part("ludb", &part.0, Some(&server.url), &["x".into()], &mut |_| ()).expect_err("no such file");
    assert_eq!(error.exit_code(), 2);
}

#[test]
fn f01_file_that_differs_from_the_list_of_its_server_is_refused() {
    let mut files = listed();
    files[0].1[17] ^= 1;
    let server = Server::start(&files, Manner::Good);
    let scratch = Scratch::new("fetch-list-wrong");
    let error = fetch("ludb", &scratch.0, Some(&server.url), &mut |_| ()).expect_err("another file");
    assert_eq!((error.code(), error.exit_code()), (Some("F01"), 3));
    assert!(!scratch.0.join("data/1.dat").exists());
}

#[test]
fn a_file_of_unknown_size_is_resumed_too() {
    let a = content(SIZE);
    let files = [("a.dat", a.clone())];
    // The list itself is shorter than the cut.
    let server = Server::start(&[("a.dat", a.clone()), ("SHA256SUMS.txt", list_of(&files))], Manner::Cuts(100_000));
    let scratch = Scratch::new("fetch-list-cut");
    let fetched = fetch("ludb", &scratch.0, Some(&server.url), &mut |_| ()).expect("resumed");
    assert_eq!(fetched.n_bytes_received, SIZE as u64, "no byte twice");
    assert_eq!(*server.ranges.lock().expect("free"), [100_000, 200_000]);
}

#[test]
fn x08_lists_whose_paths_leave_the_folder_are_refused() {
    let sum = "0".repeat(64);
    for (line, field) in [
        (format!("{sum}  ../x"), "path"),
        (format!("{sum}  /etc/x"), "path"),
        (format!("{sum}  a//b"), "path"),
        (format!("{sum}  C:x"), "path"),
        (format!("{sum}  a\\..\\b"), "path"),
        ("0123  a".to_string(), "SHA-256"),
        (sum.clone(), "line"),
    ] {
        let text = format!("{sum}  fine\n{line}\n");
        let error = parse_list(&text, std::path::Path::new("SHA256SUMS.txt")).expect_err("refused");
        let shown = error.to_string();
        assert_eq!((error.code(), error.exit_code()), (Some("X08"), 3), "{line}");
        assert!(shown.starts_with(&format!("SHA256SUMS.txt:2: {field}: found")), "{shown}");
    }
    let files = parse_list(&format!("{sum}  ./a/b.dat\n{sum} *c.hea\n\n"), std::path::Path::new("x")).expect("read");
    assert_eq!(files.iter().map(|file| file.path.as_str()).collect::<Vec<_>>(), ["a/b.dat", "c.hea"]);
}

#[test]
fn databases_that_their_owners_hand_out_are_not_fetched() {
    for name in ["code15", "deepfake", "folder", "simulated"] {
        let error = fetch(name, std::path::Path::new("unused"), None, &mut |_| ()).expect_err("no address");
        assert_eq!(error.exit_code(), 2, "{name}");
        assert!(error.to_string().contains("local folder"), "{error}");
    }
}
