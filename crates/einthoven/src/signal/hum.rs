//! Hum of the mains taken out of a lead that is full of it, without touching what is not in step with the mains.
//!
//! In blocks of a fifth of a second, which hold whole periods at 50 and at 60 Hz, the part in step with the mains is
//! measured. Hum keeps its phase from block to block; QRS complexes and noise do not, so that a median over blocks sees
//! the hum alone. A notch filter, which rings after each QRS complex, is in [`filter`](super::filter).

/// Frequencies of the mains in Hz.
const MAINS_HZ: [f64; 2] = [50.0, 60.0];
/// Length of a block in seconds.
const BLOCK_S: f64 = 0.2;
/// Blocks on either side that say what the hum is.
const AROUND: usize = 5;

/// Takes hum at 50 and 60 Hz out, where there is more of it than of anything else at that frequency.
///
/// Its strength may change over seconds. Frequencies that the sampling rate cannot show are left alone.
///
/// # Units
/// Any unit; there must be no missing points.
pub fn remove_hum(x: &mut [f32], fs_hz: f64) {
    let block_len = ((BLOCK_S * fs_hz).round() as usize).max(1);
    let n_blocks = x.len() / block_len;
    if n_blocks < AROUND {
        return;
    }
    for mains_hz in MAINS_HZ.into_iter().filter(|mains_hz| 2.2 * mains_hz < fs_hz) {
        let wave: Vec<[f32; 2]> = (0..x.len())
            .map(|k| (std::f64::consts::TAU * mains_hz * k as f64 / fs_hz).sin_cos())
            .map(|(sin, cos)| [cos as f32, sin as f32])
            .collect();
        let parts: Vec<[f32; 2]> =
            x.chunks_exact(block_len).zip(wave.chunks(block_len)).map(|(x, wave)| in_step(x, wave)).collect();
        let hum: Vec<[f32; 2]> = (0..n_blocks)
            .map(|b| {
                let around = &parts[b.saturating_sub(AROUND)..(b + AROUND + 1).min(n_blocks)];
                [0, 1].map(|part| median(around.iter().map(|block| block[part]).collect()))
            })
            .collect();
        let level = median(hum.iter().map(|h| h[0].hypot(h[1])).collect());
        let rest = median(hum.iter().zip(&parts).map(|(h, p)| (p[0] - h[0]).hypot(p[1] - h[1])).collect());
        if level <= rest {
            continue;
        }
        for (k, (x, wave)) in x.iter_mut().zip(&wave).enumerate() {
            // Between the middles of two blocks.
            let at = ((k as f32 + 0.5) / block_len as f32 - 0.5).clamp(0.0, (n_blocks - 1) as f32);
            let (a, share) = (at as usize, at.fract());
            let b = (a + 1).min(n_blocks - 1);
            let [cos, sin] = [0, 1].map(|part| hum[a][part] * (1.0 - share) + hum[b][part] * share);
            *x -= cos * wave[0] + sin * wave[1];
        }
    }
}

/// Amplitudes of the cosine and the sine in a block.
fn in_step(x: &[f32], wave: &[[f32; 2]]) -> [f32; 2] {
    let mean = x.iter().sum::<f32>() / x.len() as f32;
    [0, 1].map(|part| {
        let sum: f32 = x.iter().zip(wave).map(|(x, wave)| (x - mean) * wave[part]).sum();
        2.0 * sum / x.len() as f32
    })
}

/// The middle value of some.
fn median(mut values: Vec<f32>) -> f32 {
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f32::total_cmp).1
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Beats of 1 mV every 0.83 s.
    fn beats(fs_hz: f64) -> Vec<f32> {
        let bell = |t: f64| (-0.5 * ((t % 0.83 - 0.4) / 0.012).powi(2)).exp();
        (0..(10.0 * fs_hz) as usize).map(|k| bell(k as f64 / fs_hz) as f32).collect()
    }

    #[test]
    fn hum_goes_and_the_rest_stays() {
        for (fs_hz, mains_hz) in [(250.0, 50.0), (250.0, 60.0), (360.0, 60.0), (257.0, 49.95)] {
            let clean = beats(fs_hz);
            let hum = |k: usize| 0.3 * (std::f64::consts::TAU * mains_hz * k as f64 / fs_hz + 1.0).sin() as f32;
            let mut x: Vec<f32> = clean.iter().enumerate().map(|(k, v)| v + hum(k)).collect();
            remove_hum(&mut x, fs_hz);
            // The ends have blocks on one side only, and a frequency beside 50 Hz turns between blocks.
            let inside = fs_hz as usize..x.len() - fs_hz as usize;
            let worst = inside.map(|k| (x[k] - clean[k]).abs()).fold(0.0, f32::max);
            assert!(worst < 0.03, "{worst} mV at {fs_hz} Hz, mains {mains_hz} Hz");
        }
    }

    #[test]
    fn a_lead_without_hum_or_too_slow_to_show_it_is_left_alone() {
        for fs_hz in [100.0, 250.0, 500.0] {
            let clean = beats(fs_hz);
            let mut x = clean.clone();
            remove_hum(&mut x, fs_hz);
            assert!(x.iter().zip(&clean).all(|(a, b)| (a - b).abs() < 0.005), "{fs_hz} Hz");
        }
    }
}
