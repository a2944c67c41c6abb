//! Many small trainings at once, each on one thread.
//!
//! A small network has too little work for two threads to share; two networks have not. What a
//! training gives does not depend on its neighbors, because nothing in it depends on the number of
//! threads.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread;

use crate::error::{Error, Result};
use crate::run::Progress;

/// Does `work` for every number below `n_tasks`, as many at once as the pool has threads, and gives
/// the results in order.
///
/// Progress is reported as one stage of `n_tasks * units` units, of which a task reports `units`.
///
/// # Errors
/// That of the first task that failed, in order; tasks that have not begun by then are left out.
pub fn side_by_side<T: Send>(
    stage: &str,
    n_tasks: usize,
    units: u64,
    progress: &mut dyn Progress,
    work: impl Fn(usize, &mut dyn Progress) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let (sender, receiver) = channel();
    let take_tasks = |sender: Sender<Event>| -> Result<Vec<(usize, Result<T>)>> {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(1)
            .build()
            .map_err(|error| Error::Unsupported { what: format!("another thread ({error})") })?;
        let mut done = Vec::new();
        while !failed.load(Ordering::SeqCst) {
            let task = next.fetch_add(1, Ordering::SeqCst);
            if task >= n_tasks {
                break;
            }
            let mut report = Report { task, done: 0, sender: sender.clone() };
            let result = pool.install(|| work(task, &mut report));
            if result.is_ok() {
                report.finish(units);
            }
            failed.fetch_or(result.is_err(), Ordering::SeqCst);
            done.push((task, result));
        }
        Ok(done)
    };
    let mut results = thread::scope(|scope| {
        let workers: Vec<_> = (0..rayon::current_num_threads().min(n_tasks))
            .map(|_| {
                let sender = sender.clone();
                scope.spawn(|| take_tasks(sender))
            })
            .collect();
        drop(sender);
        let mut finished = vec![0; n_tasks];
        for event in receiver {
            match event {
                Event::Update { task, done, note } => {
                    finished[task] = done;
                    progress.update(stage, finished.iter().sum(), n_tasks as u64 * units, &note);
                }
                Event::Told(message) => progress.tell(&message),
                Event::Warned(message) => progress.warn(&message),
            }
        }
        let mut results = Vec::with_capacity(n_tasks);
        for worker in workers {
            match worker.join() {
                Ok(done) => results.extend(done?),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        Ok::<_, Error>(results)
    })?;
    results.sort_by_key(|(task, _)| *task);
    results.into_iter().map(|(_, result)| result).collect()
}

enum Event {
    Update { task: usize, done: u64, note: String },
    Told(String),
    Warned(String),
}

/// Sends what a task reports to the thread that may show it.
struct Report {
    task: usize,
    done: u64,
    sender: Sender<Event>,
}

impl Report {
    fn send(&self, event: Event) {
        // The receiver lives as long as any sender; were it gone, nobody would be there to be told.
        let _ = self.sender.send(event);
    }

    /// Counts what the task did not report, such as steps that a checkpoint holds already.
    fn finish(&mut self, units: u64) {
        if self.done < units {
            self.done = units;
            self.send(Event::Update { task: self.task, done: units, note: String::new() });
        }
    }
}

impl Progress for Report {
    fn update(&mut self, stage: &str, done: u64, _total: u64, note: &str) {
        self.done = done;
        self.send(Event::Update { task: self.task, done, note: format!("{stage} {note}") });
    }

    fn tell(&mut self, message: &str) {
        self.send(Event::Told(message.into()));
    }

    fn warn(&mut self, message: &str) {
        self.send(Event::Warned(message.into()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::Silent;

    #[test]
    fn results_come_in_the_order_of_the_tasks() {
        let squares = side_by_side("squares", 20, 1, &mut Silent, |task, _| Ok(task * task)).unwrap();
        assert_eq!(squares, (0..20).map(|task| task * task).collect::<Vec<_>>());
        assert!(side_by_side("nothing", 0, 1, &mut Silent, |task, _| Ok(task)).unwrap().is_empty());
    }

    #[test]
    fn the_first_failure_is_returned_and_later_tasks_are_left_out() {
        let begun = AtomicUsize::new(0);
        let error = side_by_side("failing", 1000, 1, &mut Silent, |task, _| {
            begun.fetch_add(1, Ordering::SeqCst);
            if task < 3 { Ok(()) } else { Err(Error::data(format!("task {task}"), "is wrong")) }
        })
        .unwrap_err();
        assert!(error.to_string().contains("task 3"), "{error}");
        assert!(begun.load(Ordering::SeqCst) < 1000);
    }

    /// Counts what it is told.
    #[derive(Default)]
    struct Counted(Vec<(u64, u64)>, Vec<String>);

    impl Progress for Counted {
        fn update(&mut self, _stage: &str, done: u64, total: u64, _note: &str) {
            self.0.push((done, total));
        }
        fn warn(&mut self, message: &str) {
            self.1.push(message.into());
        }
    }

    #[test]
    fn progress_adds_up_over_the_tasks() {
        let mut counted = Counted::default();
        side_by_side("steps", 4, 2, &mut counted, |task, progress| {
            progress.update("task", 1, 2, "");
            // Task 0 ends without a word, as one that a checkpoint holds.
            if task > 0 {
                progress.update("task", 2, 2, "");
            }
            progress.warn(&format!("warning {task}"));
            Ok(())
        })
        .unwrap();
        assert_eq!((counted.0.len(), counted.0.last()), (8, Some(&(8, 8))));
        counted.1.sort();
        assert_eq!(counted.1, ["warning 0", "warning 1", "warning 2", "warning 3"]);
    }
}
