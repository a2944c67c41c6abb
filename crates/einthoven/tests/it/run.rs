//! Runs: the folder and its lock (M06, K11), exact resume (K3), limits and signals (K7 to K9).

use std::fs;
use std::time::{Duration, Instant};

use einthoven::Error;
use einthoven::run::{self, Cadence, LockOwner, Run, RunInfo, Silent, Stop, TrainPlan, TrainSummary, train};

use crate::toy::{Seen, Toy, info, lasting_files, plan, scratch};

fn guard(result: einthoven::Result<Run>) -> String {
    match result {
        Err(error @ Error::Guard { code: "M06", .. }) => {
            assert_eq!(error.exit_code(), 5);
            error.to_string()
        }
        Err(error) => panic!("expected a guard, found {error}"),
        Ok(run) => panic!("expected a guard, found a run in {}", run.dir().display()),
    }
}

#[test]
fn m06_a_folder_with_another_run_is_refused() {
    let dir = scratch("m06-run");
    drop(Run::create(&dir, &info()).unwrap());
    assert!(guard(Run::create(&dir, &info())).contains("holds another run"));
    for (other, what) in [
        (RunInfo { seed: 6, ..info() }, "seed"),
        (RunInfo { config: "width = 4\n".into(), ..info() }, "configuration"),
        (RunInfo { data_fingerprint: "else".into(), ..info() }, "data"),
        (RunInfo { is_bf16: true, ..info() }, "--bf16-activations"),
    ] {
        assert!(guard(Run::create_or_open(&dir, &other)).contains(&format!("holds another run ({what} differs)")));
    }
    assert_eq!(Run::create_or_open(&dir, &info()).unwrap().info(), &info());
    fs::write(dir.join("config.toml"), "width = 5\n").unwrap();
    assert!(guard(Run::open(&dir)).contains("config.toml that was changed"));
}

#[test]
fn m06_a_folder_with_other_files_is_refused_and_untouched() {
    let dir = scratch("m06-files");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("thesis.txt"), "precious").unwrap();
    assert!(guard(Run::create(&dir, &info())).contains("is not a run folder and holds thesis.txt"));
    assert!(guard(Run::open(&dir)).contains("is not a run folder"));
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
    fs::remove_file(dir.join("thesis.txt")).unwrap();
    Run::create(&dir, &info()).unwrap();
}

#[test]
fn m06_a_data_set_folder_is_no_run() {
    let dir = scratch("m06-data-set");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("manifest.json"), "{\"records\": []}").unwrap();
    assert!(guard(Run::create_or_open(&dir, &info())).contains("holds manifest.json"));
}

#[test]
fn m06_k11_a_folder_in_use_is_refused() {
    let dir = scratch("k11");
    let first = Run::create(&dir, &info()).unwrap();
    let message = guard(Run::open(&dir));
    assert!(message.contains(&format!("in use by process {}", std::process::id())), "{message}");
    drop(first);
    Run::open(&dir).unwrap();
}

#[test]
fn k11_a_stale_lock_is_recognised() {
    let dir = scratch("k11-stale");
    drop(Run::create(&dir, &info()).unwrap());
    // What a killed process leaves: its name in the file, and no lock of the system.
    let gone = LockOwner { pid: 1 << 30, ..LockOwner::current() };
    let rebooted = LockOwner { boot_id: Some("another boot".into()), ..LockOwner::current() };
    for owner in [gone, rebooted] {
        fs::write(dir.join("lock"), serde_json::to_string(&owner).unwrap()).unwrap();
        Run::open(&dir).unwrap();
    }
    fs::write(dir.join("lock"), "half a li").unwrap();
    Run::open(&dir).unwrap();
}

#[test]
fn an_interrupted_creation_can_be_repeated() {
    let dir = scratch("half-created");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("config.toml"), "wid").unwrap();
    fs::write(dir.join(".tmp-manifest.json-1"), "{").unwrap();
    let run = Run::create_or_open(&dir, &info()).unwrap();
    assert_eq!(fs::read_to_string(dir.join("config.toml")).unwrap(), info().config);
    assert!(!dir.join(".tmp-manifest.json-1").exists());
    assert_eq!(run.origin().einthoven_version, env!("CARGO_PKG_VERSION"));
    drop(run);
    assert_eq!(run::read_run(&dir).unwrap().0, info());
}

#[test]
fn k3_stopped_anywhere_ends_with_the_same_bytes() {
    let n_steps = 20;
    let train_in = |dir: &std::path::Path, n_per_process: u64| {
        let mut n_processes = 0;
        loop {
            n_processes += 1;
            let run = Run::create_or_open(dir, &info()).unwrap();
            let stop = Stop::never();
            let mut toy = StopAfter { toy: Toy::new(5), n_left: n_per_process, stop: stop.clone() };
            match train(&mut toy, &plan(n_steps, 6), &run.stage("teacher").unwrap(), &stop, &mut Silent) {
                Ok(summary) => break (n_processes, summary, toy.toy),
                Err(error) => assert_eq!(error.exit_code(), 130, "{error}"),
            }
        }
    };
    let whole = scratch("k3-whole");
    let (_, expected, toy) = train_in(&whole, u64::MAX);
    let log = fs::read_to_string(whole.join("metrics.jsonl")).unwrap();
    assert_eq!(log.lines().count(), 7, "steps 3, 6, ... 18 and the last:\n{log}");
    assert!(expected.last_loss.unwrap() < 0.5 * first_loss(&log), "the toy learns:\n{log}");
    for n_per_process in [1, 2, 3, 5, 7, 19] {
        let dir = scratch(&format!("k3-{n_per_process}"));
        let (n_processes, summary, resumed) = train_in(&dir, n_per_process);
        assert_eq!(n_processes, n_steps.div_ceil(n_per_process));
        assert_eq!(summary.last_loss, expected.last_loss);
        assert_eq!(Toy { n_taken: 0, ..resumed }, Toy { n_taken: 0, ..toy.clone() });
        assert_eq!(lasting_files(&dir, n_steps), lasting_files(&whole, n_steps), "stopped every {n_per_process} steps");
    }
}

fn first_loss(log: &str) -> f64 {
    let line: serde_json::Value = serde_json::from_str(log.lines().next().unwrap()).unwrap();
    line["loss"].as_f64().unwrap()
}

/// Sends itself the interrupt after a number of steps.
struct StopAfter {
    toy: Toy,
    n_left: u64,
    stop: Stop,
}

impl run::Trainee for StopAfter {
    fn step(&mut self, step: u64) -> einthoven::Result<run::StepReport> {
        self.n_left -= 1;
        if self.n_left == 0 {
            self.stop.request(2);
        }
        self.toy.step(step)
    }

    fn snapshot(&self) -> einthoven::Result<run::Snapshot> {
        self.toy.snapshot()
    }

    fn restore(&mut self, snapshot: &run::Snapshot) -> einthoven::Result<()> {
        self.toy.restore(snapshot)
    }

    fn score(&mut self) -> einthoven::Result<Option<f64>> {
        self.toy.score()
    }
}

#[test]
fn finished_stages_are_skipped_and_keep_their_log() {
    let dir = scratch("stages");
    let run = Run::create(&dir, &info()).unwrap();
    let mut teacher = Toy::new(1);
    train(&mut teacher, &plan(9, 4), &run.stage("teacher").unwrap(), &Stop::never(), &mut Silent).unwrap();
    let stop = Stop::never();
    let mut student = StopAfter { toy: Toy::new(2), n_left: 7, stop: stop.clone() };
    train(&mut student, &plan(9, 4), &run.stage("student").unwrap(), &stop, &mut Silent).unwrap_err();
    drop(run);

    let run = Run::open(&dir).unwrap();
    let mut again = Toy::new(1);
    let summary = train(&mut again, &plan(9, 4), &run.stage("teacher").unwrap(), &Stop::never(), &mut Silent).unwrap();
    assert_eq!((again.n_taken, summary.n_steps), (0, 9));
    assert_eq!(Toy { n_taken: 9, ..again }, teacher, "a skipped stage still hands over its final state");
    let mut student = Toy::new(2);
    train(&mut student, &plan(9, 4), &run.stage("student").unwrap(), &Stop::never(), &mut Silent).unwrap();
    assert_eq!(student.n_taken, 2);
    let log = fs::read_to_string(dir.join("metrics.jsonl")).unwrap();
    let lines: Vec<String> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .map(|line: serde_json::Value| format!("{}{}", line["stage"].as_str().unwrap(), line["step"]))
        .collect();
    assert_eq!(lines, ["teacher3", "teacher6", "teacher9", "student3", "student6", "student9"]);
}

#[test]
fn k7_a_batch_that_is_not_finite_is_skipped_and_written_down() {
    let dir = scratch("k7-skip");
    let run = Run::create(&dir, &info()).unwrap();
    let mut toy = Toy { bad_steps: vec![2, 7, 8], ..Toy::new(5) };
    let stage = run.stage("teacher").unwrap();
    let summary = train(&mut toy, &plan(20, 6), &stage, &Stop::never(), &mut Silent).unwrap();
    assert_eq!(summary.n_skipped, 3);
    assert!(summary.last_loss.unwrap().is_finite());
    let text = fs::read_to_string(stage.skipped().path()).unwrap();
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3);
    assert_eq!((&lines[1]["step"], &lines[1]["items"], &lines[1]["loss"]), (&8.into(), &vec![7].into(), &"NaN".into()));
    assert!(lines[1]["grad_norm"].is_number() && lines[1]["lr"] == 0.05);
}

#[test]
fn k7_too_many_such_batches_end_the_training() {
    let train_with = |name: &str, bad_steps: Vec<u64>, n_steps: u64| {
        let run = Run::create(&scratch(name), &info()).unwrap();
        let mut toy = Toy { bad_steps, ..Toy::new(5) };
        train(&mut toy, &plan(n_steps, 50), &run.stage("teacher").unwrap(), &Stop::never(), &mut Silent)
    };
    let diverged_at = |result: einthoven::Result<TrainSummary>| match result {
        Err(error @ Error::Diverged { step, .. }) => {
            assert_eq!(error.exit_code(), 7);
            step
        }
        other => panic!("expected divergence, found {other:?}"),
    };
    assert_eq!(diverged_at(train_with("k7-row", (10..15).collect(), 1000)), 14);
    assert_eq!(train_with("k7-four", (10..14).collect(), 100).unwrap().n_skipped, 4);
    // Five single ones reach the least count; of 1000 steps ten may not fail.
    assert_eq!(diverged_at(train_with("k7-five", vec![1, 11, 21, 31, 41], 100)), 41);
    assert_eq!(train_with("k7-nine", (0..9).map(|i| 10 * i).collect(), 1000).unwrap().n_skipped, 9);
    assert_eq!(diverged_at(train_with("k7-ten", (0..10).map(|i| 10 * i).collect(), 1000)), 90);
}

#[test]
fn k7_weights_that_are_not_finite_are_never_written() {
    let dir = scratch("k7-weights");
    let run = Run::create(&dir, &info()).unwrap();
    let stage = run.stage("teacher").unwrap();
    let stop = Stop::never();
    let mut toy = StopAfter { toy: Toy::new(5), n_left: 6, stop: stop.clone() };
    train(&mut toy, &plan(20, 6), &stage, &stop, &mut Silent).unwrap_err();
    let mut spoiled = Spoiled(Toy::new(5));
    let error = train(&mut spoiled, &plan(20, 6), &stage, &Stop::never(), &mut Silent).unwrap_err();
    assert_eq!(error.exit_code(), 3);
    assert!(error.to_string().contains("linear.weight (1)"), "{error}");
    assert_eq!(stage.checkpoints().steps().unwrap(), [6]);
    assert_eq!(stage.checkpoints().load_latest().unwrap().unwrap().checkpoint.step, 6);
}

/// Takes good steps and hands out bad weights.
struct Spoiled(Toy);

impl run::Trainee for Spoiled {
    fn step(&mut self, step: u64) -> einthoven::Result<run::StepReport> {
        self.0.step(step)
    }

    fn snapshot(&self) -> einthoven::Result<run::Snapshot> {
        let mut toy = self.0.clone();
        toy.spoil();
        toy.snapshot()
    }

    fn restore(&mut self, snapshot: &run::Snapshot) -> einthoven::Result<()> {
        self.0.restore(snapshot)
    }
}

#[test]
fn k9_the_time_limit_leaves_a_checkpoint_in_time() {
    let dir = scratch("k9");
    let run = Run::create(&dir, &info()).unwrap();
    let stage = run.stage("teacher").unwrap();
    let mut toy = Toy { pause: Duration::from_millis(20), ..Toy::new(5) };
    let start = Instant::now();
    let stop = Stop::never().with_time_limit(Duration::from_millis(600));
    let error = train(&mut toy, &plan(1000, 500), &stage, &stop, &mut Silent).unwrap_err();
    // The promise is 2 s; the machine may be busy.
    assert!(start.elapsed() < Duration::from_millis(2600), "{:?}", start.elapsed());
    assert_eq!(error.exit_code(), 6);
    let text = error.to_string();
    assert!(text.contains("0.6 s") && text.contains("repeat the command to resume"), "{text}");
    let step = stage.checkpoints().load_latest().unwrap().unwrap().checkpoint.step;
    assert_eq!(step, toy.n_taken);
    assert!(step >= 1, "a limit of 600 ms has room for a step of 20 ms");
}

#[test]
fn checkpoints_by_time_are_written() {
    let run = Run::create(&scratch("by-time"), &info()).unwrap();
    let stage = run.stage("teacher").unwrap();
    let mut toy = Toy { pause: Duration::from_millis(5), ..Toy::new(5) };
    let plan = TrainPlan { n_steps: 12, checkpoint_every: Cadence::Seconds(0.01), log_every: 1 };
    let mut seen = Seen::default();
    train(&mut toy, &plan, &stage, &Stop::never(), &mut seen).unwrap();
    assert_eq!(seen.done, 12);
    let steps = stage.checkpoints().steps().unwrap();
    assert!(steps.len() >= 2 && steps.last() == Some(&12), "{steps:?}");
}

#[test]
fn stage_names_are_plain() {
    let run = Run::create(&scratch("names"), &info()).unwrap();
    for name in ["", "../x", "A", "a b", "a/b"] {
        assert_eq!(run.stage(name).err().map(|error| error.exit_code()), Some(2), "{name}");
    }
    run.stage("real-only_seed-3").unwrap();
}

#[test]
fn stages_side_by_side_leave_one_log_in_a_fixed_order() {
    let dir = scratch("beside");
    let run = Run::create(&dir, &info()).unwrap();
    let names = ["a", "b", "c"];
    let stages: Vec<_> = names.iter().map(|name| run.stage_beside(name).unwrap()).collect();
    let stop = Stop::never();
    let mut interrupted = StopAfter { toy: Toy::new(2), n_left: 4, stop: stop.clone() };
    train(&mut Toy::new(3), &plan(9, 4), &stages[2], &Stop::never(), &mut Silent).unwrap();
    train(&mut interrupted, &plan(9, 4), &stages[1], &stop, &mut Silent).unwrap_err();
    let gathered = |stages: &[run::RunStage]| {
        run.gather_metrics(&stages.iter().collect::<Vec<_>>()).unwrap();
        let log = fs::read_to_string(dir.join("metrics.jsonl")).unwrap();
        let lines = log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        lines.map(|line| format!("{}{}", line["stage"].as_str().unwrap(), line["step"])).collect::<Vec<_>>()
    };
    assert_eq!(gathered(&stages), ["b3", "c3", "c6", "c9"]);
    train(&mut Toy::new(2), &plan(9, 4), &stages[1], &Stop::never(), &mut Silent).unwrap();
    train(&mut Toy::new(1), &plan(9, 4), &stages[0], &Stop::never(), &mut Silent).unwrap();
    let all = ["a3", "a6", "a9", "b3", "b6", "b9", "c3", "c6", "c9"];
    assert_eq!(gathered(&stages), all);
    assert_eq!(gathered(&stages), all, "gathering twice changes nothing");
}
