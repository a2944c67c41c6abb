//! Simulating twelve-lead records of 10 s at 500 Hz: `cargo bench --no-default-features --bench simulator`. The target
//! is 500 a second on one core.

use divan::Bencher;
use einthoven::Seed;
use einthoven::simulate::dipole::{Request, SimulatedEcg};

fn main() {
    divan::main();
}

/// Records without noise.
#[divan::bench(args = ["sinus", "af", "lbbb", "pvc", "vt"])]
fn clean(bencher: Bencher, condition: &str) {
    let request = Request::new(condition).expect("a condition of the list");
    bencher.bench_local(|| SimulatedEcg::draw(&request, Seed::new(1)).expect("it asks for nothing impossible"));
}

/// Records with noise of all kinds at 20 dB.
#[divan::bench(args = ["sinus", "af"])]
fn noisy(bencher: Bencher, condition: &str) {
    let mut request = Request::new(condition).expect("a condition of the list");
    request.snr_db = Some(20.0);
    bencher.bench_local(|| SimulatedEcg::draw(&request, Seed::new(1)).expect("it asks for nothing impossible"));
}
