//! The waiting loop of a process that is timed against a peer, and what the system says of it.
//!
//! The work is done three times to warm up and prints what came out as one line of JSON. Each line on
//! standard input then holds a number of calls and is answered with the time that they took. At the
//! end of input comes the peak memory above the idle process.

use std::io::{BufRead, Write};
use std::time::{Duration, Instant};

use burn::tensor::Device;
use einthoven::error::{Error, Result};
use serde_json::{Value, json};

/// Calls before the first measurement; their values show that both engines do the same.
const WARM_UP: usize = 3;

/// One call: does the work and returns a number that says whether it was done right.
pub type Work = Box<dyn FnMut() -> Result<f64>>;

/// A whole number among the arguments.
pub fn number(word: &str) -> Result<usize> {
    word.parse().map_err(|_| Error::config("arguments", format!("found {word}, expected a whole number")))
}

/// Starts a program as every one of the project does, and hands the words after its name and the memory of the idle
/// process, KiB, to `work`.
pub fn start(work: impl FnOnce(&[&str], u64) -> Result<()> + Send) -> Result<()> {
    einthoven::nn::kernel::keep_freed_memory();
    let idle_kib = reset_peak_kib();
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    einthoven::nn::kernel::on_worker(|| work(&words, idle_kib))
}

/// Warms up, then answers lines with times until the input ends.
pub fn serve(work: Work, idle_kib: u64) -> Result<()> {
    serve_on(&Device::flex(), vec![("", work)], idle_kib, json!({}))
}

/// As [`serve`] for several works by name, each of which the lines name before the number of calls.
///
/// Waits for what the work has left the device to do before the clock is read; `about` joins the first
/// line of the answers.
pub fn serve_on(device: &Device, mut works: Vec<(&str, Work)>, idle_kib: u64, about: Value) -> Result<()> {
    let wait = || device.sync().map_err(|error| Error::data("device", error.to_string()));
    let mut first = about;
    first["engine"] = "einthoven".into();
    for (name, work) in &mut works {
        let begin = Instant::now();
        let values: Vec<f64> = (0..WARM_UP).map(|_| work()).collect::<Result<_>>()?;
        wait()?;
        let warm_up = json!({ "values": values, "warm_up_ms": begin.elapsed().as_secs_f64() * 1e3 });
        match *name {
            "" => first["values"] = warm_up["values"].clone(),
            name => first[name] = warm_up,
        }
    }
    say(&first);
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(|source| Error::io("standard input", source))?;
        let (name, calls) = line.trim().rsplit_once(' ').unwrap_or(("", line.trim()));
        let calls = number(calls)?;
        let Some((_, work)) = works.iter_mut().find(|(known, _)| *known == name) else {
            return Err(Error::data("standard input", format!("names {name:?}, which is no work of this process")));
        };
        let (processor, wall) = (processor_time(), Instant::now());
        for _ in 0..calls {
            work()?;
        }
        wait()?;
        let ms = |time: Duration| time.as_secs_f64() * 1e3 / calls as f64;
        say(&json!({ "wall_ms": ms(wall.elapsed()), "cpu_ms": ms(processor_time() - processor) }));
    }
    let mut last = json!({ "idle_kib": idle_kib, "peak_kib": status_kib("VmHWM") - idle_kib.min(status_kib("VmHWM")) });
    // What the framework has taken from the card and keeps: it gives nothing back while it works.
    if let Some(usage) = device.memory_pool_usage() {
        last["device_mb"] = (usage.bytes_reserved as f64 / 1e6).into();
    }
    say(&last);
    Ok(())
}

/// Prints one line at once: the other side is waiting for it.
fn say(line: &Value) {
    println!("{line}");
    // A reader that went away ends this process at its next line of input.
    let _ = std::io::stdout().flush();
}

/// Time that the threads of this process have spent on a processor.
fn processor_time() -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let nanoseconds = tasks.filter_map(|task| {
        let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanoseconds.sum())
}

/// A line of `/proc/self/status`; zero where there is none.
fn status_kib(key: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// Sets the peak back to what is resident now, and returns that.
fn reset_peak_kib() -> u64 {
    // Where this is forbidden the peak counts from the start of the process, which is about the same.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    status_kib("VmRSS")
}
