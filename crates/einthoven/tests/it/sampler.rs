//! Samplers, parameterizations, guidance and loss against distributions whose best denoiser is
//! known in closed form, and the conformance suite of `SAMPLERS`.

use std::cell::Cell;
use std::f64::consts::FRAC_PI_2;

use burn::tensor::{Device, Tensor, TensorData};
use einthoven::diffusion::sampler::{self, Ancestral, Ddim, Ddpm, DpmSolver, FlowEuler};
use einthoven::diffusion::{
    Backbone, Clipped, ClippedNoise, Condition, Denoiser, Guided, NetworkDenoiser, NoiseLevel, Objective,
    Parameterization, Prediction, SAMPLERS, SCHEDULES, Sampler, TimeView, UnetBackbone, Weighting, angle_grid, diffuse,
    log_snr_grid,
};
use einthoven::nn::unet1d::{Unet1d, Unet1dConfig};
use einthoven::nn::weights::Weights;
use einthoven::{Error, Result, Seed};

/// Every value is +mean or -mean with even odds, plus normal noise of standard deviation `sd`.
/// With `is_single` only +mean occurs, which makes it Gaussian.
#[derive(Clone, Copy)]
struct Mixture {
    mean: f64,
    sd: f64,
    is_single: bool,
}

const GAUSSIAN: Mixture = Mixture { mean: 0.7, sd: 0.5, is_single: true };
const TWO_PEAKS: Mixture = Mixture { mean: 1.0, sd: 0.3, is_single: false };

impl Mixture {
    /// Mean of x0 given x, by Bayes' rule: slope * x + gain * tanh(rate * x), or `+ gain` alone.
    fn coefficients(&self, level: NoiseLevel) -> (f64, f64, f64) {
        let (alpha, sigma) = (level.alpha(), level.sigma());
        let variance = alpha * alpha * self.sd * self.sd + sigma * sigma;
        let slope = alpha * self.sd * self.sd / variance;
        (slope, self.mean * (1.0 - alpha * slope), alpha * self.mean / variance)
    }

    /// The same on the host, in f64.
    fn posterior_mean(&self, x: f64, level: NoiseLevel) -> f64 {
        let (slope, gain, rate) = self.coefficients(level);
        slope * x + gain * if self.is_single { 1.0 } else { (rate * x).tanh() }
    }

    /// Solves dx/d(angle) = v = (alpha x - x0) / sigma from a level to another by Runge-Kutta 4.
    fn exact(&self, x: f64, start: NoiseLevel, end: NoiseLevel) -> f64 {
        let n = 4000;
        let h = (end.angle() - start.angle()) / n as f64;
        let velocity = |angle: f64, x: f64| {
            let level = NoiseLevel::new(angle.clamp(0.0, FRAC_PI_2)).unwrap();
            // The limit at the clean end: the mean of the noise is 0 there.
            if level.sigma() < 1e-12 {
                0.0
            } else {
                (level.alpha() * x - self.posterior_mean(x, level)) / level.sigma()
            }
        };
        let mut x = x;
        for k in 0..n {
            let angle = start.angle() + h * k as f64;
            let k1 = velocity(angle, x);
            let k2 = velocity(angle + h / 2.0, x + h / 2.0 * k1);
            let k3 = velocity(angle + h / 2.0, x + h / 2.0 * k2);
            let k4 = velocity(angle + h, x + h * k3);
            x += h / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4);
        }
        x
    }
}

impl Denoiser for Mixture {
    fn denoise_each(&self, x: Tensor<3>, levels: &[NoiseLevel], _: &Condition) -> Result<Prediction> {
        let column = |value: fn((f64, f64, f64)) -> f64| {
            let values: Vec<f32> = levels.iter().map(|&level| value(self.coefficients(level)) as f32).collect();
            Tensor::<3>::from_data(TensorData::new(values, [levels.len(), 1, 1]), &x.device())
        };
        let sign = if self.is_single { x.ones_like() } else { (x.clone() * column(|c| c.2)).tanh() };
        let x0 = x.clone() * column(|c| c.0) + sign * column(|c| c.1);
        Prediction::from_x0(x0, x, levels)
    }
}

fn tensor(values: Vec<f32>, shape: [usize; 3]) -> Tensor<3> {
    Tensor::from_data(TensorData::new(values, shape), &Device::flex())
}

fn normal(shape: [usize; 3], seed: Seed) -> Tensor<3> {
    let mut values = vec![0.0; shape.iter().product()];
    seed.stream().fill_normal(&mut values);
    tensor(values, shape)
}

fn values(x: Tensor<3>) -> Vec<f64> {
    x.try_into_vec_as::<f32>().unwrap().into_iter().map(f64::from).collect()
}

fn largest_difference(a: Tensor<3>, b: Tensor<3>) -> f64 {
    values(a).iter().zip(values(b)).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

fn draw(sampler: &dyn Sampler, denoiser: &dyn Denoiser, n_steps: usize, shape: [usize; 3], seed: Seed) -> Tensor<3> {
    let grid = angle_grid(n_steps, NoiseLevel::PURE_NOISE).unwrap();
    let mut noise = |k: usize| normal(shape, seed.index(k as u64));
    let start = noise(0);
    sampler.sample(denoiser, &grid, start, &mut noise, &Condition::none()).unwrap()
}

/// All samplers of the list, and DDIM with noise, which is not in it.
fn all_samplers() -> Vec<&'static dyn Sampler> {
    static NOISY: std::sync::LazyLock<Ddim> = std::sync::LazyLock::new(|| Ddim::new(0.6).unwrap());
    let mut samplers = SAMPLERS.to_vec();
    samplers.push(&*NOISY);
    samplers
}

#[test]
fn the_list_is_well_formed() {
    for (i, entry) in SAMPLERS.iter().enumerate() {
        assert_eq!(entry.name(), entry.name().to_lowercase());
        assert!(SAMPLERS[..i].iter().all(|other| other.name() != entry.name()));
        assert!(!entry.summary().is_empty() && !entry.reference().is_empty());
        assert_eq!(sampler::find(entry.name()).unwrap().name(), entry.name());
    }
    let Err(error) = sampler::find("dimm") else { panic!("dimm is no sampler") };
    assert!(error.to_string().contains("did you mean \"ddim\""), "{error}");
}

#[test]
fn samplers_reach_the_mean_and_variance_of_the_data() {
    for sampler in all_samplers() {
        for (data, mean, variance) in [(GAUSSIAN, 0.7, 0.25_f64), (TWO_PEAKS, 0.0, 1.09)] {
            let n_steps = if sampler.order() >= Some(2) { 200 } else { 400 };
            let drawn = values(draw(sampler, &data, n_steps, [16, 1, 4096], Seed::new(5)));
            let n = drawn.len() as f64;
            let found_mean = drawn.iter().sum::<f64>() / n;
            let found_variance = drawn.iter().map(|x| (x - found_mean).powi(2)).sum::<f64>() / n;
            // Four standard errors of 65,536 draws are 0.016 standard deviations for the mean and
            // 2.2 % for the variance; first-order samplers add a bias of 1/400.
            assert!((found_mean - mean).abs() < 0.018 * variance.sqrt(), "{} mean {found_mean}", sampler.name());
            assert!((found_variance / variance - 1.0).abs() < 0.027, "{} variance {found_variance}", sampler.name());
        }
        // The two peaks are apart: the gap between them holds what the mixture says, not more.
        let drawn = values(draw(sampler, &TWO_PEAKS, 400, [16, 1, 4096], Seed::new(6)));
        let gap = drawn.iter().filter(|x| x.abs() < 0.4).count() as f64 / drawn.len() as f64;
        // P(|x| < 0.4) = Phi(-2) - Phi(-14/3) = 0.02275; standard error 0.0006.
        assert!((gap - 0.02275).abs() < 0.003, "{} gap {gap}", sampler.name());
    }
}

/// The reference solver, itself checked on the Gaussian, whose solution is `mean + sd * x`.
#[test]
fn the_reference_solver_meets_the_closed_form() {
    for x in [-2.0, -0.3, 0.0, 1.7] {
        let found = GAUSSIAN.exact(x, NoiseLevel::PURE_NOISE, NoiseLevel::CLEAN);
        assert!((found - (0.7 + 0.5 * x)).abs() < 1e-6, "{x}: {found}");
    }
}

#[test]
fn deterministic_samplers_converge_with_their_declared_order() {
    // Equal steps of log-SNR, in which the orders are stated. They begin where the noise is nearly all, so that the
    // first steps of a multistep solver, which know less, cost nothing; and end where a symmetry of the Gaussian, whose
    // errors before and after the middle cancel, is broken.
    let (first, last) = (NoiseLevel::from_log_snr(-8.0).unwrap(), NoiseLevel::from_log_snr(2.0).unwrap());
    let start: Vec<f64> = (0..40).map(|k| -2.45 + 0.12 * f64::from(k)).collect();
    for sampler in SAMPLERS.iter().filter(|sampler| sampler.order().is_some()) {
        let declared = f64::from(sampler.order().unwrap());
        for data in [GAUSSIAN, TWO_PEAKS] {
            // The last step of every sampler jumps to the denoised signal.
            let exact: Vec<f64> =
                start.iter().map(|&x| data.posterior_mean(data.exact(x, first, last), last)).collect();
            let error = |n_steps: usize| {
                let x = tensor(start.iter().map(|&x| x as f32).collect(), [1, 1, 40]);
                let grid = log_snr_grid(n_steps, first, last).unwrap();
                let mut no_noise = |_| panic!("a deterministic sampler asked for noise");
                let found = values(sampler.sample(&data, &grid, x, &mut no_noise, &Condition::none()).unwrap());
                // Root mean square: where the error changes sign, single values converge faster.
                (found.iter().zip(&exact).map(|(a, b)| (a - b).powi(2)).sum::<f64>() / 40.0).sqrt()
            };
            // Coarse enough that f32 rounding (3e-7) does not show in a third-order error (8e-6).
            let (coarse, fine) = (error(32), error(96));
            let order = (coarse / fine).ln() / (95.0f64 / 31.0).ln();
            println!("{}: error {coarse:.2e} at 32 steps, {fine:.2e} at 96, order {order:.2}", sampler.name());
            assert!((order - declared).abs() < 0.25, "{} has order {order}, declares {declared}", sampler.name());
        }
    }
}

/// Counts the calls of a denoiser.
struct Counted<'a> {
    denoiser: &'a dyn Denoiser,
    calls: Cell<usize>,
}

impl Denoiser for Counted<'_> {
    fn denoise_each(&self, x: Tensor<3>, levels: &[NoiseLevel], condition: &Condition) -> Result<Prediction> {
        self.calls.set(self.calls.get() + 1);
        self.denoiser.denoise_each(x, levels, condition)
    }
}

#[test]
fn samplers_call_the_denoiser_as_often_as_they_say() {
    for (sampler, time) in all_samplers().into_iter().flat_map(|sampler| {
        [("angle", 0), ("rectified", 0), ("linear", 200)]
            .map(|(name, n)| (sampler, TimeView::of_schedule(name, n).unwrap()))
    }) {
        for n_steps in [1, 2, 9] {
            let counted = Counted { denoiser: &TWO_PEAKS, calls: Cell::new(0) };
            let grid = time.grid(n_steps, sampler.spacing()).unwrap();
            let mut noise = |k: usize| normal([1, 1, 8], Seed::new(k as u64));
            let start = noise(0);
            sampler.sample(&counted, &grid, start, &mut noise, &Condition::none()).unwrap();
            assert_eq!(counted.calls.get(), sampler.evaluations(n_steps), "{} {n_steps}", sampler.name());
        }
    }
    let calls = |name: &str| sampler::find(name).unwrap().evaluations(10);
    assert_eq!([calls("ddim"), calls("dpm-solver++3m"), calls("heun"), calls("flow-heun")], [10, 10, 19, 19]);
}

#[test]
fn guidance_works_with_every_sampler() {
    for sampler in all_samplers() {
        let by_class = ByClass { calls: Cell::new(0) };
        let guided = Guided::new(&by_class, 1.5).unwrap();
        let grid = TimeView::Angle.grid(6, sampler.spacing()).unwrap();
        let mut noise = |k: usize| normal([2, 1, 4], Seed::new(k as u64));
        let start = noise(0);
        let drawn = sampler.sample(&guided, &grid, start, &mut noise, &Condition::of_classes(&[1, 3])).unwrap();
        // Classes are points here, so that every draw ends at 1.5 times its class.
        let drawn = values(drawn);
        assert!(drawn[..4].iter().all(|x| (x - 1.5).abs() < 1e-4), "{} {drawn:?}", sampler.name());
        assert!(drawn[4..].iter().all(|x| (x - 4.5).abs() < 1e-4), "{} {drawn:?}", sampler.name());
        assert_eq!(by_class.calls.get(), 2 * sampler.evaluations(6), "{}", sampler.name());
    }
}

/// On one grid a straight step of the flow is a step of DDIM; on its own it ends near the same signal.
#[test]
fn flow_euler_is_ddim_on_the_rectified_grid() {
    let x = normal([1, 1, 64], Seed::new(4));
    let grid = TimeView::Rectified.grid(40, FlowEuler.spacing()).unwrap();
    let mut no_noise = |_| panic!("a deterministic sampler asked for noise");
    let mut run = |sampler: &dyn Sampler| {
        sampler.sample(&TWO_PEAKS, &grid, x.clone(), &mut no_noise, &Condition::none()).unwrap()
    };
    let flow = run(&FlowEuler);
    assert_eq!(largest_difference(flow.clone(), run(&Ddim::DETERMINISTIC)), 0.0);
    // The same by hand, in the coordinates of the path.
    let mut by_hand: Vec<f64> = values(x.clone());
    for pair in grid.windows(2) {
        let (tau, next) = (pair[0].flow_time(), pair[1].flow_time());
        for point in &mut by_hand {
            let x0 = TWO_PEAKS.posterior_mean(*point * pair[0].path_factor(), pair[0]);
            // x = tau x0 + (1 - tau) noise.
            let noise = (*point - tau * x0) / (1.0 - tau);
            *point += (next - tau) * (x0 - noise);
        }
    }
    let by_hand = tensor(by_hand.iter().map(|&x| x as f32).collect(), [1, 1, 64]);
    assert!(largest_difference(flow, by_hand) < 1e-5);
}

#[test]
fn one_step_returns_the_denoised_signal() {
    for sampler in all_samplers() {
        let drawn = draw(sampler, &GAUSSIAN, 1, [2, 3, 8], Seed::new(1));
        // The best guess from pure noise is the mean.
        assert!(values(drawn).iter().all(|x| (x - 0.7).abs() < 1e-6), "{}", sampler.name());
        for n_steps in [2, 3, 4] {
            let drawn = values(draw(sampler, &TWO_PEAKS, n_steps, [2, 3, 8], Seed::new(1)));
            assert!(drawn.iter().all(|x| x.is_finite() && x.abs() < 3.0), "{} {n_steps}", sampler.name());
        }
    }
}

#[test]
fn an_item_does_not_depend_on_its_batch() {
    let grid = angle_grid(12, NoiseLevel::PURE_NOISE).unwrap();
    for sampler in all_samplers() {
        let of_item = |item: u64, k: usize| normal([1, 2, 16], Seed::new(9).index(item).index(k as u64));
        let sample = |items: &[u64]| {
            let mut noise = |k: usize| Tensor::cat(items.iter().map(|&item| of_item(item, k)).collect(), 0);
            let start = noise(0);
            values(sampler.sample(&TWO_PEAKS, &grid, start, &mut noise, &Condition::none()).unwrap())
        };
        let together = sample(&[0, 1, 2, 3, 4]);
        let apart: Vec<f64> = (0..5).flat_map(|item| sample(&[item])).collect();
        assert_eq!(together, apart, "{}", sampler.name());
        assert_eq!(together, sample(&[0, 1, 2, 3, 4]), "{}", sampler.name());
    }
}

#[test]
fn noise_is_asked_for_once_per_update_and_not_at_the_last() {
    let grid = angle_grid(6, NoiseLevel::PURE_NOISE).unwrap();
    for sampler in all_samplers() {
        let mut asked = Vec::new();
        let mut noise = |k: usize| {
            asked.push(k);
            normal([1, 1, 4], Seed::new(k as u64))
        };
        let start = normal([1, 1, 4], Seed::new(0));
        sampler.sample(&GAUSSIAN, &grid, start, &mut noise, &Condition::none()).unwrap();
        let expected: &[usize] = if sampler.order().is_some() { &[] } else { &[1, 2, 3, 4, 5] };
        assert_eq!(asked, expected, "{}", sampler.name());
    }
}

#[test]
fn a_grid_that_does_not_fall_to_clean_is_refused() {
    let level = |angle| NoiseLevel::new(angle).unwrap();
    for sampler in SAMPLERS {
        for grid in [
            vec![],
            vec![NoiseLevel::CLEAN],
            vec![level(1.0), level(0.5)],
            vec![level(0.5), level(1.0), NoiseLevel::CLEAN],
            vec![level(0.5), level(0.5), NoiseLevel::CLEAN],
        ] {
            let x = normal([1, 1, 4], Seed::new(0));
            let mut noise = |_| normal([1, 1, 4], Seed::new(0));
            let result = sampler.sample(&GAUSSIAN, &grid, x, &mut noise, &Condition::none());
            assert!(matches!(result, Err(Error::Config { .. })), "{} took {grid:?}", sampler.name());
        }
    }
    assert!(Ddim::new(1.5).is_err() && Ddim::new(-0.1).is_err() && Ddim::new(f64::NAN).is_err());
}

#[test]
fn ancestral_steps_are_the_posterior_of_every_schedule() {
    for spec in SCHEDULES {
        let schedule = spec.build(50).unwrap();
        let posterior = schedule.posterior();
        for t in 0..50 {
            let to = if t == 0 { NoiseLevel::CLEAN } else { schedule.levels()[t - 1] };
            let step = Ancestral::new(schedule.levels()[t], to);
            // 1 - alpha_bar, which the discrete formulas use, has lost digits at small t.
            let near = |a: f64, b: f64| (a - b).abs() < 1e-10;
            assert!(near(step.x0_factor, posterior.mean_x0[t]), "{} {t}", spec.name());
            assert!(near(step.x_factor, posterior.mean_x[t]), "{} {t}", spec.name());
            assert!(near(step.noise_sd.powi(2), posterior.variance[t]), "{} {t}", spec.name());
        }
    }
}

#[test]
fn ddim_with_full_noise_is_the_ancestral_sampler() {
    let shape = [3, 1, 64];
    let ddim = draw(&Ddim::new(1.0).unwrap(), &TWO_PEAKS, 20, shape, Seed::new(3));
    let ddpm = draw(&Ddpm::FREE, &TWO_PEAKS, 20, shape, Seed::new(3));
    assert!(largest_difference(ddim, ddpm) < 1e-4);
}

/// On the angle grid, which touches both ends, the error also falls, and faster than DDIM's.
#[test]
fn the_second_order_solver_is_better_from_pure_noise_to_clean() {
    let x = normal([1, 1, 256], Seed::new(4));
    for data in [GAUSSIAN, TWO_PEAKS] {
        let exact: Vec<f64> =
            values(x.clone()).iter().map(|&x| data.exact(x, NoiseLevel::PURE_NOISE, NoiseLevel::CLEAN)).collect();
        let error = |sampler: &dyn Sampler, n_steps| {
            let grid = angle_grid(n_steps, NoiseLevel::PURE_NOISE).unwrap();
            let mut no_noise = |_| panic!("a deterministic sampler asked for noise");
            let found = sampler.sample(&data, &grid, x.clone(), &mut no_noise, &Condition::none()).unwrap();
            (values(found).iter().zip(&exact).map(|(a, b)| (a - b).powi(2)).sum::<f64>() / 256.0).sqrt()
        };
        for n_steps in [16, 32, 64, 128] {
            let (ddim, solver) = (error(&Ddim::DETERMINISTIC, n_steps), error(&DpmSolver, n_steps));
            println!("{n_steps} steps: ddim {ddim:.1e}, dpm-solver++ {solver:.1e}");
            assert!(solver < 0.5 * ddim, "{n_steps} steps: {solver} against {ddim}");
        }
        assert!(error(&DpmSolver, 128) < 1e-3);
    }
}

/// Levels at both ends and between, one per item.
fn five_levels() -> Vec<NoiseLevel> {
    (0..5).map(|k| NoiseLevel::new(FRAC_PI_2 * f64::from(k) / 4.0).unwrap()).collect()
}

#[test]
fn parameterizations_give_back_signal_and_noise() {
    let (x0, noise) = (normal([5, 2, 8], Seed::new(1)), normal([5, 2, 8], Seed::new(2)));
    for parameterization in Parameterization::ALL {
        assert_eq!(Parameterization::find(parameterization.name()).unwrap(), parameterization);
        // Leave out the end at which the output does not determine the other part.
        let items = match parameterization {
            Parameterization::Noise => 0..4,
            Parameterization::V | Parameterization::Flow => 0..5,
            Parameterization::X0 => 1..5,
        };
        let levels = &five_levels()[items.clone()];
        let part = |x: &Tensor<3>| x.clone().slice([items.clone()]);
        let (x0, noise) = (part(&x0), part(&noise));
        let x = diffuse(x0.clone(), noise.clone(), levels).unwrap();
        let raw = parameterization.target(x0.clone(), noise.clone(), levels).unwrap();
        let found = parameterization.prediction(raw, x, levels).unwrap();
        assert!(largest_difference(found.x0, x0) < 2e-6, "{parameterization:?}");
        assert!(largest_difference(found.noise, noise) < 2e-6, "{parameterization:?}");
    }
    // A flow is told the slope of the straight path, on which it is shown its signals.
    let at = |time: f64| {
        let levels = vec![NoiseLevel::from_flow_time(time).unwrap(); 5];
        Parameterization::Flow.input(diffuse(x0.clone(), noise.clone(), &levels).unwrap(), &levels).unwrap()
    };
    let slope = (at(0.75) - at(0.25)) * 2.0;
    let target = Parameterization::Flow.target(x0.clone(), noise.clone(), &five_levels()).unwrap();
    assert!(largest_difference(slope, target) < 2e-6);
    // At the clean end x0 prediction says nothing about the noise; it is 0 and finite.
    let clean = [NoiseLevel::CLEAN; 5];
    let found = Parameterization::X0.prediction(x0.clone(), x0.clone(), &clean).unwrap();
    assert!(values(found.noise).iter().all(|&noise| noise == 0.0));
    let pure = [NoiseLevel::PURE_NOISE; 5];
    let refused = Parameterization::Noise.prediction(noise.clone(), noise.clone(), &pure);
    assert!(matches!(refused, Err(Error::Config { key, .. }) if key == "parameterization"));
    assert!(matches!(diffuse(x0, noise, &pure[..4]), Err(Error::Shape { .. })));
}

/// A network that knows the answer but for an error `off` of the clean signal, and notes its time.
struct Oracle {
    parameterization: Parameterization,
    levels: Vec<NoiseLevel>,
    x0: Tensor<3>,
    off: f64,
    seen_time: std::cell::RefCell<Vec<f32>>,
}

impl Backbone for Oracle {
    fn predict(&self, x: Tensor<3>, time: Tensor<1>, _: &Condition) -> Result<Tensor<3>> {
        *self.seen_time.borrow_mut() = time.try_into_vec_as::<f32>().unwrap();
        // A flow is shown the point on its path; the guess wants the signal.
        let x = match self.parameterization {
            Parameterization::Flow => {
                let factors: Vec<f32> = self.levels.iter().map(|level| level.path_factor() as f32).collect();
                let shape = [factors.len(), 1, 1];
                x.clone() * Tensor::<3>::from_data(TensorData::new(factors, shape), &x.device())
            }
            _ => x,
        };
        let guess = Prediction::from_x0(self.x0.clone() + self.off, x, &self.levels)?;
        self.parameterization.target(guess.x0, guess.noise, &self.levels)
    }
}

#[test]
fn one_weighting_gives_one_loss_in_every_parameterization() {
    let levels: Vec<NoiseLevel> = [0.3, 0.7, 1.2].map(|angle| NoiseLevel::new(angle).unwrap()).to_vec();
    let (x0, noise) = (normal([3, 2, 8], Seed::new(1)), normal([3, 2, 8], Seed::new(2)));
    let weightings =
        [Weighting::Noise, Weighting::TruncatedSnr, Weighting::Velocity, Weighting::Flow, Weighting::Signal];
    for weighting in weightings {
        for parameterization in Parameterization::ALL {
            let oracle = |off| Oracle {
                parameterization,
                levels: levels.clone(),
                x0: x0.clone(),
                off,
                seen_time: Default::default(),
            };
            let objective = Objective { parameterization, weighting, time: TimeView::Angle };
            let loss = |off| {
                let oracle = oracle(off);
                let loss = objective.loss(&oracle, x0.clone(), noise.clone(), &levels, &Condition::none()).unwrap();
                let angles: Vec<f32> = levels.iter().map(|l| (1000.0 * l.angle() / FRAC_PI_2) as f32).collect();
                assert_eq!(*oracle.seen_time.borrow(), angles);
                loss.try_into_vec_as::<f32>().unwrap()
            };
            assert!(loss(0.0).iter().all(|&loss| loss < 1e-9));
            for (found, level) in loss(0.1).into_iter().zip(&levels) {
                let weight = match weighting {
                    Weighting::Noise => level.snr(),
                    Weighting::TruncatedSnr => level.snr().max(1.0),
                    Weighting::Velocity => 1.0 + level.snr(),
                    Weighting::Flow => (1.0 + level.snr().sqrt()).powi(2),
                    Weighting::Signal => 1.0,
                };
                // The error of x0 is 0.1 everywhere.
                let expected = 0.01 * weight;
                assert!((f64::from(found) / expected - 1.0).abs() < 1e-3, "{weighting:?} {parameterization:?} {found}");
            }
        }
        for level in [NoiseLevel::CLEAN, NoiseLevel::PURE_NOISE] {
            let factor = weighting.factor(Parameterization::V, level).unwrap();
            assert!((0.0..=1.0).contains(&factor), "velocity is safe at both ends");
        }
    }
    assert!(Weighting::Velocity.factor(Parameterization::Noise, NoiseLevel::PURE_NOISE).is_err());
    assert!(Weighting::TruncatedSnr.factor(Parameterization::X0, NoiseLevel::CLEAN).is_err());
}

#[test]
fn noise_prediction_up_to_pure_noise_is_refused_at_construction() {
    let oracle = || Oracle {
        parameterization: Parameterization::Noise,
        levels: vec![],
        x0: normal([1, 1, 4], Seed::new(0)),
        off: 0.0,
        seen_time: Default::default(),
    };
    let steps = |name: &str| TimeView::Steps(einthoven::diffusion::schedule::find(name).unwrap().build(100).unwrap());
    let build = |time| NetworkDenoiser::new(oracle(), Parameterization::Noise, time);
    for time in [TimeView::Angle, steps("angle"), steps("linear-zero-terminal")] {
        assert!(matches!(build(time), Err(Error::Config { .. })));
    }
    assert!(build(steps("linear")).is_ok());
    assert!(NetworkDenoiser::new(oracle(), Parameterization::V, TimeView::Angle).is_ok());
}

/// Class k has mean k, no class has mean 0; counts its calls.
struct ByClass {
    calls: Cell<usize>,
}

impl Denoiser for ByClass {
    fn denoise_each(&self, x: Tensor<3>, levels: &[NoiseLevel], condition: &Condition) -> Result<Prediction> {
        self.calls.set(self.calls.get() + 1);
        let classes = condition.classes.clone().unwrap_or_else(|| vec![None; levels.len()]);
        let means: Vec<f32> = classes.iter().map(|class| class.map_or(0.0, |class| class as f32)).collect();
        let means = Tensor::<3>::from_data(TensorData::new(means, [levels.len(), 1, 1]), &x.device());
        Prediction::from_x0(means.expand(x.dims()), x, levels)
    }
}

#[test]
fn guidance_exaggerates_the_class_and_costs_a_call_only_when_it_must() {
    let x = normal([2, 1, 4], Seed::new(1));
    let level = NoiseLevel::new(0.8).unwrap();
    let condition = Condition::of_classes(&[1, 3]);
    for (weight, calls) in [(0.0, 1), (1.0, 1), (2.5, 2)] {
        let guided = Guided::new(ByClass { calls: Cell::new(0) }, weight).unwrap();
        let found = guided.denoise(x.clone(), level, &condition).unwrap();
        assert_eq!(guided.denoiser.calls.get(), calls, "weight {weight}");
        let x0 = values(found.x0.clone());
        assert!(
            x0[..4].iter().all(|v| (v - weight).abs() < 1e-6)
                && x0[4..].iter().all(|v| (v - 3.0 * weight).abs() < 1e-5)
        );
        // Signal and noise still make up x.
        let again = diffuse(found.x0, found.noise, &[level; 2]).unwrap();
        assert!(largest_difference(again, x.clone()) < 1e-5);
    }
    assert!(Guided::new(GAUSSIAN, -1.0).is_err() && Guided::new(GAUSSIAN, f64::NAN).is_err());
    assert!(matches!(condition.check(3), Err(Error::Shape { .. })));
}

/// A class that the network has not learned is refused; the number after the last would be taken
/// for "no class".
#[test]
fn a_class_that_the_network_does_not_know_is_refused() {
    let network = Unet1d::new(Unet1dConfig::dgn(8, &[1, 2], 3)).unwrap();
    let params = Weights::initialize(&network.params(), Seed::new(1)).on(&Device::flex());
    let denoiser =
        NetworkDenoiser::new(UnetBackbone { network, params }, Parameterization::V, TimeView::Angle).unwrap();
    let x = normal([2, 1, 16], Seed::new(2));
    let level = NoiseLevel::new(1.0).unwrap();
    let denoise = |classes: &[usize]| denoiser.denoise(x.clone(), level, &Condition::of_classes(classes));
    assert!(matches!(denoise(&[0, 3]), Err(Error::Config { .. })));
    assert!(matches!(denoise(&[0]), Err(Error::Shape { .. })));
    let (known, none) = (denoise(&[0, 2]).unwrap(), denoiser.denoise(x.clone(), level, &Condition::none()).unwrap());
    assert!(largest_difference(known.x0, none.x0) > 1e-3);
}

#[test]
fn clipping_holds_the_signal_and_treats_the_noise_as_told() {
    let x = tensor(vec![0.0, 4.0, -4.0, 0.5], [1, 1, 4]);
    let level = NoiseLevel::new(0.2).unwrap();
    let free = GAUSSIAN.denoise(x.clone(), level, &Condition::none()).unwrap();
    for noise in [ClippedNoise::Keep, ClippedNoise::Recompute] {
        let clipped = Clipped::new(GAUSSIAN, 1.0, noise).unwrap();
        let found = clipped.denoise(x.clone(), level, &Condition::none()).unwrap();
        assert!(values(found.x0.clone()).iter().all(|v| v.abs() <= 1.0));
        assert!(values(free.x0.clone()).iter().any(|v| v.abs() > 1.0));
        let gap = largest_difference(diffuse(found.x0, found.noise, &[level]).unwrap(), x.clone());
        match noise {
            ClippedNoise::Keep => assert!(gap > 0.1),
            ClippedNoise::Recompute => assert!(gap < 1e-5),
        }
    }
    assert!(Clipped::new(GAUSSIAN, 0.0, ClippedNoise::Keep).is_err());
}
