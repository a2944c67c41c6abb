//! Downloads of open databases, with checksums and resume. The only code that touches the network.
//!
//! The checksums of a small database are built in; of the others the server's own `SHA256SUMS.txt` is read first,
//! so that a file is whole as its publisher meant it, though not protected from a server that lies.
//!
//! A file is written beside its final name (`NAME.partial`) and renamed once its SHA-256 agrees with
//! the published one, so that a file under its own name is always whole. An interrupted download goes
//! on where it stopped, if the server can; a file that is already there and agrees is not fetched again.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::catalog::{self, PublishedFile};
use super::hex;
use crate::error::{Error, InputError, Position, Result};

/// Requests per file before giving up; each goes on where the one before stopped.
const ATTEMPTS: u32 = 5;
/// Pause before the second attempt; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// Longest silence of a server.
const TIMEOUT: Duration = Duration::from_secs(60);

/// How far a download is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress<'a> {
    /// File in hand.
    pub file: &'a str,
    /// Files that are complete.
    pub n_files_done: usize,
    /// Files in all.
    pub n_files: usize,
    /// Bytes that are on disk and not known to be wrong, over all files.
    pub n_bytes_done: u64,
    /// Bytes in all, as far as sizes are known before the download.
    pub n_bytes: u64,
}

/// A file to be fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Path below the database's folder, with slashes.
    pub path: String,
    /// SHA-256 in hexadecimal.
    pub sha256: String,
    /// Size in bytes; `None` until the server tells.
    pub n_bytes: Option<u64>,
}

/// What a download did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Fetched {
    /// Files that were fetched.
    pub n_fetched: usize,
    /// Files that were already there with the right checksum.
    pub n_present: usize,
    /// Bytes received, repeated ones included.
    pub n_bytes_received: u64,
}

/// Downloads a database of the catalogue into `folder`.
///
/// `base_url` replaces the published address, for a mirror. A file in the folder whose checksum is
/// wrong is replaced.
///
/// # Errors
/// [`Error::Unknown`] for a name that is not in the catalogue; [`Error::Unsupported`] if it cannot be
/// downloaded freely; [`Error::Io`] if a file stays incomplete after five attempts, which a second call
/// resumes; [`Error::Input`] `F01` if the server's file has another checksum than the published one.
pub fn fetch(
    name: &str,
    folder: &Path,
    base_url: Option<&str>,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Fetched> {
    fetch_part(name, folder, base_url, &[], progress)
}

/// [`fetch`], limited to files whose path begins with one of `prefixes`; all if there are none.
///
/// # Errors
/// As [`fetch`]; [`Error::Config`] if no file begins so.
pub fn fetch_part(
    name: &str,
    folder: &Path,
    base_url: Option<&str>,
    prefixes: &[String],
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Fetched> {
    let database = catalog::database(name)?;
    let base = base_url.unwrap_or(database.url());
    if base.is_empty() {
        return Err(Error::Unsupported {
            what: format!("downloading {name}, which has no public address (a local folder works),"),
        });
    }
    let built_in = database.files();
    let all = if built_in.is_empty() {
        published_list(base, database.checksum_list(), folder)?
    } else {
        built_in.iter().map(Wanted::from).collect()
    };
    let n_all = all.len();
    let wanted: Vec<Wanted> = all
        .into_iter()
        .filter(|file| prefixes.is_empty() || prefixes.iter().any(|prefix| file.path.starts_with(prefix.as_str())))
        .collect();
    if wanted.is_empty() {
        return Err(Error::config("only", format!("none of the {n_all} files of {name} begins with {prefixes:?}")));
    }
    fetch_wanted(&wanted, folder, base, progress)
}

impl From<&PublishedFile> for Wanted {
    fn from(file: &PublishedFile) -> Wanted {
        Wanted { path: file.path.into(), sha256: file.sha256.into(), n_bytes: Some(file.n_bytes) }
    }
}

/// Longest list of checksums: two million files.
const MAX_LIST_BYTES: u64 = 256 << 20;

/// Reads the list of checksums of a server and keeps it in the folder.
fn published_list(base_url: &str, list: &str, folder: &Path) -> Result<Vec<Wanted>> {
    std::fs::create_dir_all(folder).map_err(|source| Error::Io { path: folder.into(), source })?;
    let base = base_url.trim_end_matches('/');
    let url = format!("{base}/{list}");
    let path = folder.join(list);
    let agent = agent(base);
    let mut last = None;
    for attempt in 0..ATTEMPTS {
        if attempt > 0 {
            std::thread::sleep(FIRST_PAUSE * 2u32.pow(attempt - 1));
        }
        let io = |source| Error::Io { path: path.clone(), source };
        let text = agent.get(&url).call().map_err(|error| std::io::Error::other(format!("{url}: {error}")));
        let text = text.and_then(|mut response| match response.status().as_u16() {
            200 => {
                let body = response.body_mut().with_config().limit(MAX_LIST_BYTES);
                body.read_to_string().map_err(|error| std::io::Error::other(format!("{url}: {error}")))
            }
            status => Err(std::io::Error::other(format!("{url}: HTTP {status}"))),
        });
        match text {
            Ok(text) => {
                let wanted = parse_list(&text, &path)?;
                std::fs::write(&path, text).map_err(io)?;
                return Ok(wanted);
            }
            Err(source) => last = Some(io(source)),
        }
    }
    // The loop runs at least once, and each round that does not return sets the error.
    Err(last.unwrap_or(Error::Unsupported { what: "a download without an attempt".into() }))
}

/// Files of a list of lines `SHA-256  path`, as `sha256sum` writes it.
///
/// # Errors
/// [`Error::Input`] `X08` naming the line, for a line of another form or a path that leaves the folder.
pub fn parse_list(text: &str, path: &Path) -> Result<Vec<Wanted>> {
    let mut wanted = Vec::new();
    for (k, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let broken = |field: &str, found: &str, expected: &str| InputError {
            code: "X08",
            path: path.into(),
            position: Position::Line(k + 1),
            field: field.into(),
            found: format!("\"{found}\""),
            expected: expected.into(),
            hint: String::new(),
        };
        let Some((sum, file)) = line.trim_end().split_once(char::is_whitespace) else {
            return Err(broken("line", line, "a SHA-256 and a path").into());
        };
        if sum.len() != 64 || !sum.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(broken("SHA-256", sum, "64 hexadecimal digits").into());
        }
        let file = file.trim_start().trim_start_matches('*');
        let file = file.strip_prefix("./").unwrap_or(file);
        let is_inside = !file.is_empty()
            && !file.contains(['\\', ':', '\0', '?', '#'])
            && file.split('/').all(|part| !part.is_empty() && part != ".." && part != ".");
        if !is_inside {
            return Err(broken("path", file, "a path below the folder").into());
        }
        wanted.push(Wanted { path: file.into(), sha256: sum.to_ascii_lowercase(), n_bytes: None });
    }
    Ok(wanted)
}

/// Downloads files with known checksums from below `base_url` into `folder`, which is made if need be.
///
/// # Errors
/// As [`fetch`].
pub fn fetch_files(
    files: &[PublishedFile],
    folder: &Path,
    base_url: &str,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Fetched> {
    let wanted: Vec<Wanted> = files.iter().map(Wanted::from).collect();
    fetch_wanted(&wanted, folder, base_url, progress)
}

fn fetch_wanted(
    files: &[Wanted],
    folder: &Path,
    base_url: &str,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Fetched> {
    std::fs::create_dir_all(folder).map_err(|source| Error::Io { path: folder.into(), source })?;
    let base = base_url.trim_end_matches('/');
    let agent = agent(base);
    let n_bytes: u64 = files.iter().filter_map(|file| file.n_bytes).sum();
    let mut done = 0;
    let mut fetched = Fetched::default();
    for (n_files_done, file) in files.iter().enumerate() {
        let mut report = |bytes: u64| {
            progress(Progress {
                file: &file.path,
                n_files_done,
                n_files: files.len(),
                n_bytes_done: done + bytes,
                n_bytes: n_bytes.max(done + bytes),
            });
        };
        report(0);
        let path = folder.join(&file.path);
        if sum_of(&path)?.as_deref() == Some(file.sha256.as_str()) {
            fetched.n_present += 1;
        } else {
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent).map_err(|source| Error::Io { path: parent.into(), source })?;
            }
            fetched.n_bytes_received += fetch_file(&agent, base, file, &path, &mut report)?;
            fetched.n_fetched += 1;
        }
        // What a server did not announce counts once it is here.
        done += match file.n_bytes {
            Some(n_bytes) => n_bytes,
            None => std::fs::metadata(&path).map_or(0, |metadata| metadata.len()),
        };
    }
    progress(Progress {
        file: "",
        n_files_done: files.len(),
        n_files: files.len(),
        n_bytes_done: done,
        n_bytes: n_bytes.max(done),
    });
    Ok(fetched)
}

fn agent(base_url: &str) -> ureq::Agent {
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(TIMEOUT))
        .timeout_recv_response(Some(TIMEOUT))
        .timeout_per_read(Some(TIMEOUT))
        .user_agent(concat!("einthoven/", env!("CARGO_PKG_VERSION")));
    // A proxy of the environment cannot reach our own loopback.
    let is_loopback =
        ["http://127.0.0.1", "http://localhost", "http://[::1]"].iter().any(|own| base_url.starts_with(own));
    let config = if is_loopback { config.proxy(None) } else { config };
    config.build().new_agent()
}

/// Why one attempt did not complete a file.
enum Failure {
    /// Worth another attempt, which goes on where this one stopped.
    Interrupted(std::io::Error),
    /// Another attempt would fail in the same way.
    Final(Error),
}

/// Fetches one file and returns the bytes received.
fn fetch_file(agent: &ureq::Agent, base: &str, file: &Wanted, path: &Path, report: &mut dyn FnMut(u64)) -> Result<u64> {
    let url = format!("{base}/{}", url_path(&file.path));
    let part = partial(path);
    let mut received = 0;
    let mut last: Option<Error> = None;
    // A file of unknown size may be whole already, stopped between its last byte and its new name.
    if file.n_bytes.is_none() && sum_of(&part)?.as_deref() == Some(file.sha256.as_str()) {
        std::fs::rename(&part, path).map_err(|source| Error::Io { path: path.into(), source })?;
        return Ok(0);
    }
    for attempt in 0..ATTEMPTS {
        if attempt > 0 {
            std::thread::sleep(FIRST_PAUSE * 2u32.pow(attempt - 1));
        }
        match fetch_rest(agent, &url, &part, file.n_bytes, &mut received, report) {
            Ok(()) => {}
            Err(Failure::Interrupted(source)) => {
                last = Some(Error::Io { path: part.clone(), source });
                continue;
            }
            Err(Failure::Final(error)) => return Err(error),
        }
        let found = sum_of(&part)?.unwrap_or_default();
        if found == file.sha256 {
            std::fs::rename(&part, path).map_err(|source| Error::Io { path: path.into(), source })?;
            return Ok(received);
        }
        // Damage may have happened on the way, so the file is fetched afresh; never resumed onto itself.
        std::fs::remove_file(&part).map_err(|source| Error::Io { path: part.clone(), source })?;
        last = Some(
            InputError {
                code: "F01",
                path: path.into(),
                position: Position::File,
                field: "SHA-256".into(),
                found: format!("{found} from {url}"),
                expected: file.sha256.clone(),
                hint: "the server's file is not the published one; try another mirror".into(),
            }
            .into(),
        );
        // A second wrong copy is the server's and not the line's.
        if attempt > 0 {
            break;
        }
    }
    // The loop runs at least once, and each round that does not return sets the error.
    Err(last.unwrap_or(Error::Unsupported { what: "a download without an attempt".into() }))
}

/// Appends what is missing of a file to its partial file.
fn fetch_rest(
    agent: &ureq::Agent,
    url: &str,
    part: &Path,
    n_bytes: Option<u64>,
    received: &mut u64,
    report: &mut dyn FnMut(u64),
) -> std::result::Result<(), Failure> {
    let known = n_bytes;
    let disk = |source| Failure::Final(Error::Io { path: part.into(), source });
    let mut have = match std::fs::metadata(part) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == ErrorKind::NotFound => 0,
        Err(error) => return Err(disk(error)),
    };
    if known == Some(have) && have > 0 {
        return Ok(());
    }
    if known.is_some_and(|n_bytes| have > n_bytes) {
        have = 0;
    }
    let mut request = agent.get(url);
    if have > 0 {
        request = request.header("Range", format!("bytes={have}-"));
    }
    let mut response =
        request.call().map_err(|error| Failure::Interrupted(std::io::Error::other(format!("{url}: {error}"))))?;
    let status = response.status().as_u16();
    let range = response.headers().get("content-range").and_then(|value| value.to_str().ok()).unwrap_or("").to_string();
    let resumes = status == 206 && range.trim_start().starts_with(&format!("bytes {have}-"));
    if !resumes {
        have = 0;
    }
    match status {
        200 => {}
        206 if resumes => {}
        // The server has another idea of the file than our partial one: begin again.
        206 | 416 => {
            std::fs::remove_file(part).map_err(disk)?;
            return Err(Failure::Interrupted(std::io::Error::other(format!(
                "{url}: HTTP {status} with range \"{range}\""
            ))));
        }
        // Overload and server faults pass; a missing file or a refusal stays.
        429 | 500..=599 => return Err(Failure::Interrupted(std::io::Error::other(format!("{url}: HTTP {status}")))),
        _ => return Err(disk(std::io::Error::other(format!("{url}: HTTP {status}")))),
    }
    // Without a known size, what the server announces is the size; without that, all that comes.
    let announced = response.body().content_length().map(|rest| have + rest);
    let n_bytes = known.or(announced);
    let mut out: File =
        OpenOptions::new().create(true).write(true).append(resumes).truncate(!resumes).open(part).map_err(disk)?;
    // One byte more than expected is enough to know that the file is another one.
    let mut body = response
        .body_mut()
        .with_config()
        .limit(u64::MAX)
        .reader()
        .take(n_bytes.map_or(u64::MAX, |n_bytes| n_bytes + 1 - have));
    let mut buffer = vec![0; 1 << 16];
    loop {
        let n = match body.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => n,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => {
                out.sync_all().map_err(disk)?;
                return Err(Failure::Interrupted(std::io::Error::other(format!(
                    "{url}: after {have} of {} bytes: {error}",
                    shown(n_bytes)
                ))));
            }
        };
        out.write_all(&buffer[..n]).map_err(disk)?;
        have += n as u64;
        *received += n as u64;
        report(n_bytes.map_or(have, |n_bytes| have.min(n_bytes)));
    }
    out.sync_all().map_err(disk)?;
    if n_bytes.is_some_and(|n_bytes| have < n_bytes) {
        return Err(Failure::Interrupted(std::io::Error::new(
            ErrorKind::UnexpectedEof,
            format!("{url}: the connection ended after {have} of {} bytes", shown(n_bytes)),
        )));
    }
    Ok(())
}

fn shown(n_bytes: Option<u64>) -> String {
    n_bytes.map_or("an unknown number of".into(), |n_bytes| n_bytes.to_string())
}

/// A path for an address: what is not plain in a file name is escaped.
fn url_path(path: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte);
    path.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// SHA-256 of a file, or `None` if there is none.
fn sum_of(path: &Path) -> Result<Option<String>> {
    let io = |source| Error::Io { path: path.into(), source };
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(io(source)),
    };
    let mut hash = Sha256::new();
    std::io::copy(&mut file, &mut hash).map_err(io)?;
    Ok(Some(hex(&hash.finalize())))
}

fn partial(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".partial");
    path.with_file_name(name)
}
