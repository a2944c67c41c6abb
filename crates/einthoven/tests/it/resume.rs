//! What a run survives: kills (K3), failing storage (K4), signals (K8). Children of the test binary
//! do the dying.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use einthoven::Error;
use einthoven::run::{Progress, Run, Silent, Stop, Storage, read_checkpoints, train};

use crate::toy::{Seen, Toy, files, info, lasting_files, plan, scratch};

const DIR: &str = "EINTHOVEN_TEST_RUN_DIR";
const PAUSE_MS: &str = "EINTHOVEN_TEST_PAUSE_MS";
const N_STEPS: u64 = 40;

/// Which way a call fails.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    /// The N-th call fails once.
    Io,
    /// Not permitted, once.
    Eacces,
    /// From the N-th call on the disk is full.
    Enospc,
    /// Half the bytes are written, then the call fails.
    ShortWrite,
}

/// Fails the N-th call that changes something; never waits for the disk, which keeps the test quick.
struct Faulty {
    fault: Fault,
    n_left: AtomicU64,
    has_failed: AtomicBool,
}

impl Faulty {
    fn new(fault: Fault, n: u64) -> Faulty {
        Faulty { fault, n_left: AtomicU64::new(n), has_failed: AtomicBool::new(false) }
    }

    /// Counts a call, and fails it if it is the one.
    fn call(&self) -> io::Result<()> {
        let has_failed = self.has_failed.load(Ordering::SeqCst);
        let is_it = !has_failed && self.n_left.fetch_sub(1, Ordering::SeqCst) == 1;
        self.has_failed.store(has_failed || is_it, Ordering::SeqCst);
        match self.fault {
            Fault::Enospc if is_it || has_failed => Err(io::ErrorKind::StorageFull.into()),
            Fault::Eacces if is_it => Err(io::ErrorKind::PermissionDenied.into()),
            Fault::Io | Fault::ShortWrite if is_it => Err(io::Error::other("the device failed")),
            _ => Ok(()),
        }
    }
}

impl Storage for Faulty {
    fn create(&self, path: &Path) -> io::Result<File> {
        self.call()?;
        File::create(path)
    }

    fn append(&self, path: &Path) -> io::Result<File> {
        self.call()?;
        File::options().append(true).create(true).open(path)
    }

    fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        let result = self.call();
        let n_written = match (&result, self.fault) {
            (Ok(()), _) => bytes.len(),
            (Err(_), Fault::ShortWrite | Fault::Enospc) => bytes.len() / 2,
            (Err(_), _) => 0,
        };
        io::Write::write_all(file, &bytes[..n_written])?;
        result
    }

    fn sync(&self, _file: &File) -> io::Result<()> {
        self.call()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call()?;
        std::fs::rename(from, to)
    }

    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        self.call()
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.call()?;
        std::fs::create_dir_all(dir)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.call()?;
        if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) }
    }
}

#[test]
fn k4_whichever_call_fails_the_run_goes_on_from_the_checkpoint_before() {
    let plan = plan(8, 3);
    let train_in = |dir: &Path, storage: Faulty, progress: &mut dyn Progress| {
        let run = Run::create_or_open_on(Arc::new(storage), dir, &info())?;
        train(&mut Toy::new(5), &plan, &run.stage("teacher")?, &Stop::never(), progress)
    };
    let sound = || Faulty::new(Fault::Io, u64::MAX);
    let whole = scratch("k4-whole");
    train_in(&whole, sound(), &mut Silent).unwrap();
    let expected = lasting_files(&whole, 8);

    let dir = scratch("k4");
    // The first two take every call; the others fail on the same paths and take a sample of them.
    for (fault, stride) in [(Fault::Io, 1), (Fault::Enospc, 1), (Fault::ShortWrite, 3), (Fault::Eacces, 5)] {
        let mut n_failed = 0;
        for n in (1..).step_by(stride) {
            assert!(n < 1000, "the fault loop has to end");
            if dir.exists() {
                std::fs::remove_dir_all(&dir).unwrap();
            }
            let what = format!("{fault:?} at call {n}");
            let mut seen = Seen::default();
            let Err(error) = train_in(&dir, Faulty::new(fault, n), &mut seen) else { break };
            n_failed += 1;
            assert!(matches!(error, Error::Io { .. }), "{what}: {error}");
            assert_eq!(error.exit_code(), 4, "{what}");
            // What was saved before the failing call is there: a checkpoint every three steps.
            let latest = read_checkpoints(&dir, "teacher").load_latest().unwrap();
            let step = latest.as_ref().map_or(0, |loaded| loaded.checkpoint.step);
            assert!(step >= seen.done.saturating_sub(1) / 3 * 3, "{what}: step {step} after {}", seen.done);
            assert!(latest.is_none_or(|loaded| loaded.warnings.is_empty()), "{what}");

            let mut seen = Seen::default();
            train_in(&dir, sound(), &mut seen).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert!(seen.warnings.is_empty(), "{what}: {:?}", seen.warnings);
            assert_eq!(lasting_files(&dir, 8), expected, "{what}");
            let left: Vec<String> = files(&dir).into_keys().filter(|name| name.contains(".tmp-")).collect();
            assert!(left.is_empty(), "{what}: {left:?}");
        }
        // Three checkpoints of six files, each created, written and synced, make 54 calls alone.
        assert!(n_failed * stride > 54, "{fault:?}: {n_failed}");
    }
}

/// Prints every step, so that the parent knows how far the child is.
struct Printed;

impl Progress for Printed {
    fn update(&mut self, _stage: &str, done: u64, _total: u64, _note: &str) {
        println!("\nfinished step {done}");
    }
}

/// The child: trains in the folder that the environment names, and leaves with the exit code.
#[test]
#[ignore = "a process of its own for the tests of this module"]
fn child() {
    let Some(dir) = std::env::var_os(DIR) else {
        println!("skipped: {DIR} is not set");
        return;
    };
    let pause_ms: u64 = std::env::var(PAUSE_MS).unwrap().parse().unwrap();
    let result = Stop::on_signals().and_then(|stop| {
        let run = Run::create_or_open(Path::new(&dir), &info())?;
        let mut toy = Toy { pause: std::time::Duration::from_millis(pause_ms), ..Toy::new(5) };
        train(&mut toy, &plan(N_STEPS, 2), &run.stage("teacher")?, &stop, &mut Printed)
    });
    if let Err(error) = &result {
        eprintln!("{error}");
    }
    std::process::exit(result.map_or_else(|error| i32::from(error.exit_code()), |_| 0));
}

#[cfg(unix)]
mod with_children {
    use std::io::{BufRead, BufReader, Read};
    use std::process::{Child, ChildStdout, Command, Stdio};
    use std::time::{Duration, Instant};

    use einthoven::Seed;
    use rustix::process::{Pid, Signal, kill_process};

    use super::*;

    struct Training {
        child: Child,
        lines: BufReader<ChildStdout>,
    }

    impl Training {
        fn start(dir: &Path, pause_ms: u64) -> Training {
            let mut child = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "resume::child", "--ignored", "--nocapture", "--test-threads=1"])
                .env(DIR, dir)
                .env(PAUSE_MS, pause_ms.to_string())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            let lines = BufReader::new(child.stdout.take().unwrap());
            Training { child, lines }
        }

        /// Waits for this many finished steps; false if the child ends before.
        fn wait_for_steps(&mut self, n_steps: u64) -> bool {
            let mut n_seen = 0;
            let mut line = String::new();
            while n_seen < n_steps {
                line.clear();
                if self.lines.read_line(&mut line).unwrap() == 0 {
                    return false;
                }
                n_seen += u64::from(line.starts_with("finished step"));
            }
            true
        }

        fn signal(&self, signal: Signal) {
            kill_process(Pid::from_child(&self.child), signal).unwrap();
        }

        /// Exit code, and what the child said about it.
        fn end(mut self) -> (Option<i32>, String) {
            // Reading to the end keeps the child from blocking on a full pipe.
            std::io::copy(&mut self.lines, &mut std::io::sink()).unwrap();
            let mut said = String::new();
            self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
            (self.child.wait().unwrap().code(), said)
        }
    }

    fn expected(name: &str) -> std::collections::BTreeMap<String, Vec<u8>> {
        let whole = scratch(&format!("{name}-whole"));
        let run = Run::create(&whole, &info()).unwrap();
        // Far fewer checkpoints than the children write: how often they are written must not matter.
        train(&mut Toy::new(5), &plan(N_STEPS, 25), &run.stage("teacher").unwrap(), &Stop::never(), &mut Silent)
            .unwrap();
        lasting_files(&whole, N_STEPS)
    }

    #[test]
    fn k3_fifty_kills_at_random_times_leave_the_same_bytes() {
        // `EINTHOVEN_TEST_KILLS=200` for the long version.
        let n_kills: u64 = std::env::var("EINTHOVEN_TEST_KILLS").map_or(50, |n| n.parse().unwrap());
        let expected = expected("kills");
        let mut stream = Seed::new(17).purpose("kills").stream();
        let (mut n_killed, mut n_finished) = (0, 0);
        let mut dir = scratch("kills-0");
        while n_killed < n_kills || n_finished == 0 {
            let mut training = Training::start(&dir, 0);
            // Some kills hit the start, before any step; the others hit steps and checkpoints.
            let n_steps = if n_killed < n_kills { stream.below(8) as u64 } else { u64::MAX };
            if training.wait_for_steps(n_steps) {
                std::thread::sleep(Duration::from_micros(stream.below(12_000) as u64));
                training.child.kill().unwrap();
            }
            let (code, said) = training.end();
            match code {
                None => n_killed += 1,
                Some(code) => {
                    assert_eq!(code, 0, "{said}");
                    assert_eq!(lasting_files(&dir, N_STEPS), expected, "after {n_killed} kills");
                    n_finished += 1;
                    dir = scratch(&format!("kills-{n_finished}"));
                }
            }
        }
    }

    #[test]
    fn k8_the_first_signal_leaves_a_checkpoint_and_the_folder_is_locked_meanwhile() {
        let expected = expected("k8-first");
        for (signal, name, code) in [(Signal::INT, "int", 130), (Signal::TERM, "term", 143)] {
            let dir = scratch(&format!("k8-{name}"));
            let mut training = Training::start(&dir, 30);
            assert!(training.wait_for_steps(3));
            let refused = Run::open(&dir).err().unwrap();
            assert_eq!(refused.exit_code(), 5);
            assert!(refused.to_string().contains(&format!("in use by process {}", training.child.id())), "{refused}");
            let start = Instant::now();
            training.signal(signal);
            let (found, said) = training.end();
            assert_eq!(found, Some(code), "{said}");
            assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
            assert!(said.contains("repeat the command to resume"), "{said}");
            let step = read_checkpoints(&dir, "teacher").load_latest().unwrap().unwrap().checkpoint.step;
            assert!((3..N_STEPS).contains(&step), "{step}");
            assert!(said.contains(&format!("after {step} of {N_STEPS} steps")), "{said}");
            assert_eq!(Training::start(&dir, 0).end().0, Some(0));
            assert_eq!(lasting_files(&dir, N_STEPS), expected);
        }
    }

    #[test]
    fn k8_the_second_signal_leaves_at_once() {
        let expected = expected("k8-second");
        let dir = scratch("k8-second");
        let mut training = Training::start(&dir, 0);
        assert!(training.wait_for_steps(3));
        training.child.kill().unwrap();
        training.end();
        // A step of a minute: only the second signal can end it soon.
        let training = Training::start(&dir, 60_000);
        let start = Instant::now();
        // The lock file names the child once it runs; its handlers stand before that.
        let text = || std::fs::read_to_string(dir.join("lock")).unwrap();
        while !text().contains(&format!("\"pid\":{},", training.child.id())) {
            assert!(start.elapsed() < Duration::from_secs(30), "the child does not start");
            std::thread::sleep(Duration::from_millis(5));
        }
        std::thread::sleep(Duration::from_millis(100));
        training.signal(Signal::TERM);
        std::thread::sleep(Duration::from_millis(100));
        let second = Instant::now();
        training.signal(Signal::INT);
        let (code, said) = training.end();
        assert_eq!(code, Some(130), "{said}");
        assert!(second.elapsed() < Duration::from_secs(10), "{:?}", second.elapsed());
        assert_eq!(Training::start(&dir, 0).end().0, Some(0));
        assert_eq!(lasting_files(&dir, N_STEPS), expected);
    }
}
