//! Accelerators against the CPU, and the optimizer pass that they use.
//!
//! What needs an adapter skips with a line that says why there is none.

#[cfg(any(feature = "gpu", feature = "cuda"))]
mod networks;
#[cfg(any(feature = "gpu", feature = "cuda"))]
mod state_space;
#[cfg(any(feature = "gpu", feature = "cuda"))]
mod views;

use burn::tensor::Device;
use einthoven::nn::adamw::AdamWConfig;
use einthoven::nn::device::device;
use einthoven::nn::train::NetworkTrainee;
use einthoven::run::{Outcome, Snapshot, Trainee};

#[allow(dead_code)]
#[path = "../../../examples/beat_problem/mod.rs"]
mod beat_problem;

use beat_problem::{FixedTarget, N_STEPS, Problem, optimizer};

/// The accelerators of this build and this machine, with a line for each that it lacks.
#[cfg(any(feature = "gpu", feature = "cuda"))]
fn accelerators() -> Vec<&'static str> {
    let is_here = |name: &&str| device(name).map_err(|reason| eprintln!("skipped: {reason}")).is_ok();
    ["wgpu", "cuda"].into_iter().filter(is_here).collect()
}

fn small() -> Problem {
    Problem::draw(8, &[1, 2], 2, 4).unwrap()
}

/// Trainings on the CPU with a moving average: by the host pass, and by the flat one.
fn trainees(problem: &Problem) -> [NetworkTrainee<FixedTarget>; 2] {
    let device = Device::flex();
    let optimizer = AdamWConfig { ema_decay: 0.9, ..optimizer() };
    [NetworkTrainee::new, NetworkTrainee::flat].map(|begin| {
        let (learner, specs) = (problem.learner(&device).unwrap(), problem.network.params());
        begin(learner, specs, problem.weights.clone(), optimizer.clone(), N_STEPS, &device)
    })
}

/// The flat pass computes what the host pass does; sums in another order leave a rounding.
#[test]
fn flat_pass_follows_the_host_pass() {
    let [mut host, mut flat] = trainees(&small());
    for step in 0..20 {
        let (a, b) = (host.step(step).unwrap(), flat.step(step).unwrap());
        assert!((a.loss - b.loss).abs() <= 1e-5 * a.loss, "step {step}: {} {}", a.loss, b.loss);
        assert!(
            (a.grad_norm - b.grad_norm).abs() <= 1e-4 * a.grad_norm,
            "step {step}: {} {}",
            a.grad_norm,
            b.grad_norm
        );
        assert_eq!(a.lr, b.lr);
    }
    let (host, flat) = (host.snapshot().unwrap(), flat.snapshot().unwrap());
    let groups = |snapshot: Snapshot| [snapshot.weights, snapshot.ema, snapshot.first_moment, snapshot.second_moment];
    assert_eq!(host.state, flat.state);
    for (host, flat) in groups(host).into_iter().zip(groups(flat)) {
        assert!(!host.is_empty());
        for (name, (shape, values)) in host {
            let (other_shape, other) = &flat[&name];
            assert_eq!(&shape, other_shape, "{name}");
            for (a, b) in values.iter().zip(other) {
                assert!((a - b).abs() <= 1e-5, "{name}: {a} {b}");
            }
        }
    }
}

/// A checkpoint of one pass goes on in the other, and in the same pass to the bit.
#[test]
fn a_checkpoint_of_the_flat_pass_goes_on_in_both() {
    let problem = small();
    let [_, mut flat] = trainees(&problem);
    for step in 0..3 {
        flat.step(step).unwrap();
    }
    let snapshot = flat.snapshot().unwrap();
    let [mut host, mut again] = trainees(&problem);
    again.restore(&snapshot).unwrap();
    host.restore(&snapshot).unwrap();
    assert_eq!(again.snapshot().unwrap(), snapshot);
    let (a, b, c) = (flat.step(3).unwrap(), again.step(3).unwrap(), host.step(3).unwrap());
    assert_eq!(a.loss, b.loss);
    assert!((a.loss - c.loss).abs() <= 1e-5 * a.loss, "{} {}", a.loss, c.loss);
}

/// A loss or gradient that is not finite leaves weights, moments and the count of updates as they were.
#[test]
fn flat_pass_leaves_the_weights_alone_where_the_loss_is_not_finite() {
    let mut problem = small();
    problem.inputs.get_mut("target").expect("a target").1[0] = f32::NAN;
    let [_, mut flat] = trainees(&problem);
    let before = flat.snapshot().unwrap();
    let report = flat.step(0).unwrap();
    assert_eq!(report.outcome, Outcome::NonFinite);
    assert!(report.loss.is_nan() && report.grad_norm.is_nan());
    assert_eq!(flat.snapshot().unwrap(), before);
}

/// What the command says where the build lacks a device.
#[cfg(not(any(feature = "gpu", feature = "cuda")))]
#[test]
fn a_device_that_the_build_lacks_is_refused_with_the_feature_to_build_with() {
    for (name, feature) in [("wgpu", "gpu"), ("cuda", "cuda")] {
        let message = device(name).unwrap_err().to_string();
        assert!(message.contains(&format!("--features {feature}")), "{message}");
    }
}
