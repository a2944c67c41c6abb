//! Consistency distillation: from anywhere in a segment of the path straight to the segment's clean end.
//!
//! One step of the teacher leads to a neighboring point of the same path, and from both points the student has to land
//! in the same place. With one segment this is the consistency model of Song et al.; with as many segments as the
//! student takes steps it is sampled by plain DDIM, like every other student.

use burn::tensor::Tensor;

use super::batches::BatchQueue;
use super::denoiser::{Denoiser, NetworkDenoiser};
use super::distill::{aim, aimed_loss, deterministic_step};
use super::level::{NoiseLevel, diffuse, items_tensor};
use super::loss::Objective;
use super::network::Network;
use crate::error::Result;
use crate::nn::train::Learner;
use crate::nn::weights::Params;

/// Learns to land at a segment's end from every level of the segment.
///
/// # Reference
/// Song, Dhariwal, Chen, Sutskever 2023, "Consistency models", algorithm 2; segments as in Heek, Hoogeboom, Salimans
/// 2024, "Multistep consistency models", algorithm 1.
/// # Differs from the paper
/// The teacher steps by DDIM. The student that is compared with is the one in training, without gradient and without
/// an average of its own (Song and Dhariwal 2023, "Improved techniques for training consistency models", section
/// 3.2). The condition at the clean end needs no scaling: one step before a segment's end the target is the teacher's.
pub struct ConsistencyDistillation<D> {
    /// The student's network.
    pub network: Network,
    /// What its output means, with a continuous time; how levels count is the method's own.
    pub objective: Objective,
    /// The teacher; guidance belongs here and is folded into the student.
    pub teacher: D,
    /// Segments of the path, equally spaced in the network's time: the student's steps.
    pub n_segments: usize,
    /// Steps of the teacher within a segment.
    pub n_inner: usize,
    /// The student's data; labels are never hidden.
    pub batches: BatchQueue,
}

impl<D: Denoiser> Learner for ConsistencyDistillation<D> {
    fn loss(&mut self, params: &Params, step: u64) -> Result<(Tensor<1>, Vec<u64>)> {
        let batch = self.batches.take(step);
        let n_grid = self.n_segments * self.n_inner;
        let places: Vec<usize> = batch.uniform.iter().map(|u| 1 + (u * n_grid as f64) as usize).collect();
        let time = &self.objective.time;
        let levels = |place: &dyn Fn(usize) -> usize| -> Result<Vec<NoiseLevel>> {
            places.iter().map(|&k| time.level(place(k) as f64 / n_grid as f64)).collect()
        };
        let end_of = |k: usize| (k - 1) / self.n_inner * self.n_inner;
        let (from, next, end) = (levels(&|k| k)?, levels(&|k| k - 1)?, levels(&end_of)?);
        let x = diffuse(batch.x0, batch.noise, &from)?;
        let there = deterministic_step(&self.teacher, x.clone(), &from, &next, &batch.condition)?;
        let backbone = self.network.with(params.frozen());
        let student = NetworkDenoiser::new(backbone, self.objective.parameterization, time.clone())?;
        let onward = deterministic_step(&student, there.clone(), &next, &end, &batch.condition)?;
        // Where the teacher has reached the segment's end, there is nothing left for the student.
        let is_there = next.iter().zip(&end).map(|(next, end)| f32::from(u8::from(next == end))).collect();
        let is_there = items_tensor(is_there, &x.device()).reshape([places.len(), 1, 1]);
        let landed = onward.clone() + (there - onward) * is_there;
        let target = aim(landed, x.clone(), &from, &end);
        let student = self.network.with(params.clone());
        let device = &self.batches.device().clone();
        let loss = aimed_loss(&self.objective, &student, x, target, &from, &batch.condition, device)?;
        Ok((loss, batch.items))
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::super::batches::Batches;
    use super::super::denoiser::{Condition, Prediction};
    use super::super::loss::{Weighting, squared_error};
    use super::super::network::NetworkConfig;
    use super::super::parameterization::Parameterization;
    use super::super::time::TimeView;
    use super::*;
    use crate::nn::unet1d::Unet1dConfig;
    use crate::nn::weights::{Weights, host};
    use crate::seed::Seed;

    /// Knows one signal alone: a constant.
    struct Point(f64);

    impl Denoiser for Point {
        fn denoise_each(&self, x: Tensor<3>, levels: &[NoiseLevel], _: &Condition) -> Result<Prediction> {
            Prediction::from_x0(x.ones_like() * self.0, x, levels)
        }
    }

    fn batches() -> Batches {
        Batches {
            signals: (0..6 * 16).map(|i| (i % 7) as f32 * 0.3 - 1.0).collect::<Vec<_>>().into(),
            n_leads: 1,
            sig_len: 16,
            classes: vec![0, 1, 0, 1, 0, 1],
            labels: None,
            facts: None,
            batch: 8,
            class_exponent: 1.0,
            label_dropout: 0.0,
            beats: None,
            fact_dropout: 0.0,
            seed: Seed::new(3),
            device: Device::flex(),
        }
    }

    /// With one teacher step in a segment nothing is left for the student, whose loss is then that of the teacher's
    /// signal.
    #[test]
    fn at_the_end_of_a_segment_the_teacher_alone_is_aimed_at() {
        for (parameterization, time) in [
            (Parameterization::V, TimeView::Angle),
            (Parameterization::Flow, TimeView::Rectified),
            (Parameterization::X0, TimeView::Angle),
        ] {
            let network = Network::new(&NetworkConfig::Unet(Unet1dConfig::dgn(8, &[1, 2], 2)), Seed::new(1)).unwrap();
            let params = Weights::initialize(&network.params(), Seed::new(2));
            let objective = Objective { parameterization, weighting: Weighting::Velocity, time: time.clone() };
            let mut learner = ConsistencyDistillation {
                network: network.clone(),
                objective: objective.clone(),
                teacher: Point(0.4),
                n_segments: 4,
                n_inner: 1,
                batches: batches().into(),
            };
            let (found, _) = learner.loss(&params.tracked(&Device::flex()), 5).unwrap();
            let batch = BatchQueue::from(batches()).take(5);
            let from: Vec<NoiseLevel> =
                batch.uniform.iter().map(|u| time.level((1.0 + (u * 4.0).floor()) / 4.0).unwrap()).collect();
            let x = diffuse(batch.x0, batch.noise, &from).unwrap();
            let student =
                NetworkDenoiser::new(network.with(params.on(&Device::flex())), parameterization, time).unwrap();
            let x0 = student.denoise_each(x.clone(), &from, &batch.condition).unwrap().x0;
            let errors = host(squared_error(x0, x.ones_like() * 0.4));
            let expected =
                errors.iter().zip(&from).map(|(e, l)| f64::from(*e) * l.snr().clamp(1.0, 1e4)).sum::<f64>() / 8.0;
            let found = f64::from(host(found)[0]);
            assert!((found / expected - 1.0).abs() < 1e-3, "{parameterization:?}: {found} and {expected}");
        }
    }

    /// Where the teacher knows one signal, that is what every segment's path leads to, and a student that knows it too
    /// has nothing to learn.
    #[test]
    fn a_consistent_student_has_no_loss() {
        // Weights of zero put out zero, the signal of an x0 network and of this teacher.
        let network = Network::new(&NetworkConfig::Unet(Unet1dConfig::dgn(8, &[1, 2], 2)), Seed::new(1)).unwrap();
        let mut params = Weights::initialize(&network.params(), Seed::new(2));
        params.entries.values_mut().for_each(|weight| weight.values.fill(0.0));
        let loss = |teacher: f64| {
            let mut learner = ConsistencyDistillation {
                network: network.clone(),
                objective: Objective {
                    parameterization: Parameterization::X0,
                    weighting: Weighting::Velocity,
                    time: TimeView::Angle,
                },
                teacher: Point(teacher),
                n_segments: 2,
                n_inner: 4,
                batches: batches().into(),
            };
            let (loss, _) = learner.loss(&params.tracked(&Device::flex()), 1).unwrap();
            host(loss)[0]
        };
        assert!(loss(0.0) < 1e-8, "{}", loss(0.0));
        assert!(loss(0.5) > 1e-3, "{}", loss(0.5));
    }
}
