//! Our tensor operations against the framework's own, on the shapes of the workloads in DESIGN.md.
//!
//! `cargo bench --bench kernels [-- THREADS]` prints processor time and wall time per call, both as
//! medians of interleaved runs, the rate of the matrix products, and the ratio of processor times.

use std::time::{Duration, Instant};

use burn::tensor::{DType, Device, Tensor, TensorData};
use einthoven::nn::kernel::{
    Activation, Conv1dOptions, conv1d, conv1d_reference, group_norm_act, group_norm_act_reference, rms_norm,
    rms_norm_reference, silu, silu_reference,
};

/// Runs of each side.
const RUNS: usize = 7;

fn main() {
    let threads = std::env::args().skip(1).find_map(|arg| arg.parse().ok()).unwrap_or(1);
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().expect("no other pool was started");
    println!("{threads} threads; ours against stock, milliseconds of processor (wall)\n");
    rayon::scope(|_| {
        convolutions();
        normalizations();
    });
}

fn tensor<const D: usize>(shape: [usize; D], device: &Device) -> Tensor<D> {
    let count: usize = shape.iter().product();
    let values = (0..count as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 23) as f32 - 1.0);
    Tensor::from_data(TensorData::new(values.collect::<Vec<f32>>(), shape), (device, DType::F32))
}

/// Time that all threads of this process have spent on a processor; zero where the system does not
/// tell.
fn processor_time() -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let nanoseconds = tasks.filter_map(|task| {
        let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanoseconds.sum())
}

/// Medians of processor and wall time per call in milliseconds, for both sides.
fn measure(mut sides: [&mut dyn FnMut(); 2]) -> [[f64; 2]; 2] {
    // As many calls per run as take tens of milliseconds: the system counts processor time in ticks.
    let start = Instant::now();
    sides[0]();
    sides[0]();
    let calls = (0.04 / start.elapsed().as_secs_f64()).clamp(1.0, 200.0) as usize;
    let mut times = [const { [Vec::new(), Vec::new()] }; 2];
    for _ in 0..RUNS {
        for (side, times) in sides.iter_mut().zip(&mut times) {
            let (processor, wall) = (processor_time(), Instant::now());
            for _ in 0..calls {
                side();
            }
            times[1].push(wall.elapsed().as_secs_f64() * 1e3 / calls as f64);
            times[0].push((processor_time() - processor).as_secs_f64() * 1e3 / calls as f64);
        }
    }
    times.map(|times| {
        times.map(|mut times| {
            times.sort_by(f64::total_cmp);
            times[RUNS / 2]
        })
    })
}

fn report(name: &str, operations: f64, sides: [&mut dyn FnMut(); 2]) {
    let [ours, stock] = measure(sides);
    print!("{name:52} {:8.3} ({:8.3}) {:8.3} ({:8.3})", ours[0], ours[1], stock[0], stock[1]);
    print!("  ratio {:4.2}", ours[0] / stock[0]);
    if operations > 0.0 {
        print!("  {:4.0} against {:4.0} GF/s", operations / ours[0] / 1e6, operations / stock[0] / 1e6);
    }
    println!();
}

fn convolutions() {
    let plain = Device::flex();
    let tracked = Device::flex().autodiff();
    // batch, channels in and out, length, kernel, stride, dilation
    let cases = [
        ("W6 stem", 32, 1, 32, 256, 3, 1, 1),
        ("W6 level 1", 32, 32, 32, 256, 3, 1, 1),
        ("W6 level 2", 32, 64, 64, 128, 3, 1, 1),
        ("W6 level 3", 32, 128, 128, 64, 3, 1, 1),
        ("W6 down", 32, 64, 64, 128, 3, 2, 1),
        ("W6 skip 1x1", 32, 192, 64, 128, 1, 1, 1),
        ("W1 layer", 16, 64, 128, 256, 3, 1, 16),
        ("W2 layer", 4, 128, 256, 1000, 3, 1, 64),
        ("W4 stem", 32, 12, 32, 1000, 5, 2, 1),
        ("W4 stage 2", 32, 96, 96, 125, 5, 1, 1),
    ];
    for (name, batch, channels_in, channels_out, length, kernel, stride, dilation) in cases {
        let options = Conv1dOptions { stride, padding: dilation * (kernel / 2), dilation };
        let out = options.output_length(length, kernel);
        let operations = 2.0 * (batch * channels_in * channels_out * kernel * out) as f64;
        let input = |device: &Device| {
            (
                tensor([batch, channels_in, length], device),
                tensor([channels_out, channels_in, kernel], device),
                tensor([channels_out], device),
            )
        };
        let name = format!("{name} [{batch}, {channels_in}->{channels_out}, {length}] k{kernel} s{stride}");
        let (x, weight, bias) = input(&plain);
        report(
            &format!("{name} forward"),
            operations,
            [&mut || drop(conv1d(x.clone(), weight.clone(), Some(bias.clone()), options)), &mut || {
                drop(conv1d_reference(x.clone(), weight.clone(), Some(bias.clone()), options))
            }],
        );
        let (x, weight, bias) = input(&tracked);
        let (x, weight, bias) = (x.require_grad(), weight.require_grad(), bias.require_grad());
        report(
            &format!("{name} train"),
            3.0 * operations,
            [&mut || drop(conv1d(x.clone(), weight.clone(), Some(bias.clone()), options).backward()), &mut || {
                drop(conv1d_reference(x.clone(), weight.clone(), Some(bias.clone()), options).backward())
            }],
        );
    }
}

fn normalizations() {
    let plain = Device::flex();
    let tracked = Device::flex().autodiff();
    for shape in [[32, 32, 256], [32, 64, 128], [32, 128, 64], [4, 128, 1000]] {
        let act = Activation::Silu;
        for (kind, device) in [("forward", &plain), ("train", &tracked)] {
            let track = device.is_autodiff();
            let x = tensor(shape, device).set_require_grad(track);
            let gain = tensor([shape[1]], device).set_require_grad(track);
            let bias = tensor([shape[1]], device).set_require_grad(track);
            let pair = || tensor([shape[0], shape[1]], device).set_require_grad(track);
            let pair = Some((pair(), pair()));
            let finish = |out: Tensor<3>| if track { drop(out.backward()) } else { drop(out) };
            report(
                &format!("group norm, scale and shift, SiLU {shape:?} {kind}"),
                0.0,
                [
                    &mut || {
                        let (x, gain, bias, pair) = (x.clone(), gain.clone(), bias.clone(), pair.clone());
                        finish(group_norm_act(x, 8, gain, bias, pair, act, 1e-5));
                    },
                    &mut || {
                        let (x, gain, bias, pair) = (x.clone(), gain.clone(), bias.clone(), pair.clone());
                        finish(group_norm_act_reference(x, 8, gain, bias, pair, act, 1e-5));
                    },
                ],
            );
            report(
                &format!("rms norm, scale and shift, SiLU {shape:?} {kind}"),
                0.0,
                [&mut || finish(rms_norm(x.clone(), gain.clone(), pair.clone(), act, 1e-12)), &mut || {
                    finish(rms_norm_reference(x.clone(), gain.clone(), pair.clone(), act, 1e-12))
                }],
            );
            report(
                &format!("SiLU {shape:?} {kind}"),
                0.0,
                [&mut || finish(silu(x.clone())), &mut || finish(silu_reference(x.clone()))],
            );
        }
    }
}
