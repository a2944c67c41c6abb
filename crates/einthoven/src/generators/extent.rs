//! Rate and length of what is drawn: any generator at another rate, cut shorter, or lengthened where it can be.
//!
//! A generator draws at its own rate and at least for the time that is asked for; its signals are then brought to the rate
//! by the polyphase filter, which is linear, so that the laws of the leads go on to hold, and cut.

use rayon::prelude::*;
use serde_json::json;

use super::{Generator, Item, SampleRequest, Sink};
use crate::dataset::Dataset;
use crate::dataset::condition::Told;
use crate::error::{Error, Result};
use crate::record::Annotation;
use crate::seed::Seed;
use crate::signal::resample::{Pad, rational_ratio, resample_poly};

/// Items below this length are single beats.
pub const LONGEST_BEAT_S: f64 = 2.0;
/// Rates that can be asked for, Hz.
pub const RATES_HZ: [f64; 2] = [100.0, 1000.0];
/// Lengths that can be asked for, s.
pub const LENGTHS_S: [f64; 2] = [2.5, 86_400.0];

/// What is asked of rate and length; what is `None` is the generator's own.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Extent {
    /// Sampling rate, Hz.
    pub fs_hz: Option<f64>,
    /// Length, s.
    pub seconds: Option<f64>,
}

impl Extent {
    /// Refuses rates and lengths that nobody makes.
    ///
    /// # Errors
    /// [`Error::Config`] naming `fs` or `seconds`.
    pub fn check(&self) -> Result<()> {
        for (key, value, [low, high], unit) in
            [("fs", self.fs_hz, RATES_HZ, "Hz"), ("seconds", self.seconds, LENGTHS_S, "s")]
        {
            if let Some(value) = value.filter(|value| !(low..=high).contains(value)) {
                return Err(Error::config(key, format!("found {value} {unit}, expected {low} to {high} {unit}")));
            }
        }
        Ok(())
    }
}

/// Whether items of these axes are single beats.
pub fn is_beats(axes: &Dataset) -> bool {
    (axes.sig_len as f64) < LONGEST_BEAT_S * axes.fs_hz
}

/// The generator at the rate and length that are asked for.
///
/// # Errors
/// [`Error::Config`] as [`Extent::check`], for a length of single beats, for a rate in no ratio of whole numbers to the
/// generator's own, and as [`Generator::lengthened`].
pub fn fitted(generator: Box<dyn Generator>, extent: &Extent) -> Result<Box<dyn Generator>> {
    extent.check()?;
    let own = generator.axes();
    let fs_hz = extent.fs_hz.unwrap_or(own.fs_hz);
    let (up, down) = rational_ratio(own.fs_hz, fs_hz)?;
    let (sig_len, needed) = match extent.seconds {
        None => ((own.sig_len * up).div_ceil(down), own.sig_len),
        Some(_) if is_beats(&own) => {
            let who = own.provenance["generator"].as_str().unwrap_or("the generator");
            let reason = format!(
                "{who} makes single beats of {:.2} s, whose length is fixed; leave --seconds out",
                own.sig_len as f64 / own.fs_hz
            );
            return Err(Error::config("seconds", reason));
        }
        Some(seconds) => {
            let sig_len = (seconds * fs_hz).round() as usize;
            (sig_len, (sig_len * down).div_ceil(up))
        }
    };
    let generator = if needed > own.sig_len { generator.lengthened(needed)? } else { generator };
    let drawn = generator.axes();
    if (up, down) == (1, 1) && drawn.sig_len == sig_len {
        return Ok(generator);
    }
    let mut axes = drawn.clone();
    (axes.fs_hz, axes.sig_len) = (fs_hz, sig_len);
    axes.provenance["drawn_at"] = json!({ "fs_hz": drawn.fs_hz, "seconds": drawn.sig_len as f64 / drawn.fs_hz });
    Ok(Box::new(Fitted { generator, axes, drawn_len: drawn.sig_len, ratio: (up, down) }))
}

/// A generator whose items are resampled and cut.
struct Fitted {
    generator: Box<dyn Generator>,
    axes: Dataset,
    /// Points of an item as it is drawn.
    drawn_len: usize,
    /// Rate of the items over that at which they are drawn, in lowest terms.
    ratio: (usize, usize),
}

impl Generator for Fitted {
    fn axes(&self) -> Dataset {
        self.axes.clone()
    }

    fn told(&self) -> Told {
        self.generator.told()
    }

    fn request(&self, items: Vec<Item>) -> SampleRequest {
        self.generator.request(items)
    }

    fn working_bytes_per_item(&self) -> u64 {
        let points = self.axes.leads.len() * self.axes.sig_len.max(self.drawn_len);
        self.generator.working_bytes_per_item() + (2 * 8 * points) as u64
    }

    fn sample_into(&self, request: &SampleRequest, seed: Seed, sink: &mut dyn Sink) -> Result<()> {
        self.generator.sample_into(request, seed, &mut Fitting { fitted: self, sink })
    }
}

/// Brings items to rate and length on their way.
struct Fitting<'a> {
    fitted: &'a Fitted,
    sink: &'a mut dyn Sink,
}

impl Sink for Fitting<'_> {
    fn accept(&mut self, items: &[Item], ecg: &[f32]) -> Result<()> {
        let Fitted { axes, drawn_len, ratio: (up, down), .. } = self.fitted;
        let lead = |drawn: &[f32]| -> Result<Vec<f32>> {
            if up == down {
                return Ok(drawn[..axes.sig_len].to_vec());
            }
            let drawn: Vec<f64> = drawn.iter().map(|&v| f64::from(v)).collect();
            let resampled = resample_poly(&drawn, *up, *down, Pad::Line)?;
            Ok(resampled[..axes.sig_len].iter().map(|&v| v as f32).collect())
        };
        // One item at a time, so that what is held beside the batch is small.
        for (item, drawn) in items.iter().zip(ecg.chunks(axes.leads.len() * drawn_len)) {
            let leads: Vec<Vec<f32>> = drawn.par_chunks(*drawn_len).map(lead).collect::<Result<_>>()?;
            self.sink.accept(std::slice::from_ref(item), &leads.concat())?;
        }
        Ok(())
    }

    fn annotate(&mut self, item: &Item, beats: &[Annotation]) -> Result<()> {
        let Fitted { axes, ratio: (up, down), .. } = self.fitted;
        let ratio = *up as f64 / *down as f64;
        let moved = beats.iter().map(|beat| {
            let sample = (beat.sample as f64 * ratio).round() as i64;
            Annotation { sample, ..beat.clone() }
        });
        let kept: Vec<Annotation> = moved.filter(|beat| beat.sample < axes.sig_len as i64).collect();
        self.sink.annotate(item, &kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generators::find;
    use burn::tensor::Device;

    fn dipole() -> Box<dyn Generator> {
        let spec = find("dipole").unwrap();
        let mut config = spec.default_config();
        (config["conditions"], config["fs_hz"]) = (json!(["sinus"]), json!(250.0));
        spec.build(&config, None, &Device::default()).unwrap()
    }

    fn extent(fs_hz: Option<f64>, seconds: Option<f64>) -> Extent {
        Extent { fs_hz, seconds }
    }

    #[test]
    fn items_have_the_rate_and_the_length_asked_for_and_keep_the_laws_of_the_leads() {
        let plain = dipole().sample(&dipole().request(Item::of_classes(&[0, 0])), Seed::new(3)).unwrap();
        for (fs_hz, seconds, n) in [
            (Some(100.0), Some(2.5), 250),
            (Some(1000.0), None, 10_000),
            (Some(257.0), Some(7.0), 1799),
            (None, Some(4.0), 1000),
        ] {
            let generator = fitted(dipole(), &extent(fs_hz, seconds)).unwrap();
            let request = |items: Vec<Item>, batch| SampleRequest { batch, ..generator.request(items) };
            let data = generator.sample(&request(Item::of_classes(&[0, 0]), 2), Seed::new(3)).unwrap();
            assert_eq!((data.fs_hz, data.sig_len), (fs_hz.unwrap_or(250.0), n));
            for t in 0..n {
                let mv = |lead: usize| data.item(1)[lead * n + t];
                assert!((mv(0) + mv(2) - mv(1)).abs() < 1e-5 && (mv(3) + mv(4) + mv(5)).abs() < 1e-5, "point {t}");
            }
            // Points that both rates share are the same to the ripple of the filter, of what is within its band.
            assert_eq!(data.provenance["drawn_at"]["fs_hz"], 250.0);
            if fs_hz.is_none() {
                assert_eq!(data.item(0)[..n], plain.item(0)[..n]);
            }
            let alone = generator
                .sample(&request(vec![Item { index: 1, ..Item::of_classes(&[0])[0].clone() }], 1), Seed::new(3));
            assert_eq!(alone.unwrap().item(0), data.item(1), "an item depends on its index alone");
        }
    }

    #[test]
    fn what_cannot_be_made_is_refused_in_one_line() {
        let refused = |generator: Box<dyn Generator>, fs_hz, seconds| {
            let error = fitted(generator, &extent(fs_hz, seconds)).err().expect("refused").to_string();
            assert!(!error.contains('\n'), "{error}");
            error
        };
        assert!(refused(dipole(), Some(99.0), None).contains("fs: found 99 Hz, expected 100 to 1000 Hz"));
        assert!(refused(dipole(), None, Some(f64::NAN)).contains("seconds: found NaN s"));
        // Its configuration has a length; what was built with one cannot be lengthened.
        assert!(refused(dipole(), None, Some(60.0)).contains("makes at most 10 s; longer records come from"));
        let beats = find("beats").unwrap();
        let beats = || beats.build(&beats.default_config(), None, &Device::default()).unwrap();
        assert!(refused(beats(), None, Some(10.0)).contains("single beats of 0.71 s"));
        let resampled = fitted(beats(), &extent(Some(500.0), None)).unwrap().axes();
        assert_eq!((resampled.fs_hz, resampled.sig_len), (500.0, 356));
    }
}
