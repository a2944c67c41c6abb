//! Where a wave begins and ends, read from the speed at which the signal moves.

/// Walks from the fastest point of a flank away from the peak, to where the speed has fallen to a share of it.
///
/// `speed` is not negative. The flank is looked for between `peak` and `limit`, which may lie on either side; the
/// result lies between them too. A speed that rises again before it has fallen that far ends the walk at its lowest
/// point, if it has at least fallen below `valley` of the fastest. A speed of `enough` is a flank of this wave: when it
/// falls below the valley after that, what follows belongs to the next wave.
pub fn flank_end(speed: &[f32], peak: usize, limit: usize, share: f32, valley: f32, enough: f32) -> usize {
    let is_forward = limit > peak;
    let n = peak.abs_diff(limit);
    let at = |k: usize| if is_forward { peak + k } else { peak - k };
    let mut fastest = 0;
    for k in 1..=n {
        let (now, top) = (speed[at(k)], speed[at(fastest)]);
        if now > top {
            fastest = k;
        } else if top >= enough && now < valley * top {
            break;
        }
    }
    let top = speed[at(fastest)];
    let mut lowest = fastest;
    for k in fastest..=n {
        let now = speed[at(k)];
        if now <= share * top {
            return at(k);
        }
        if now < speed[at(lowest)] {
            lowest = k;
        } else if speed[at(lowest)] < valley * top && now > 1.5 * speed[at(lowest)] {
            return at(lowest);
        }
    }
    at(if lowest == fastest { n } else { lowest })
}

/// A landmark of one lead, drawn towards the common one: leads see the same event, and each of them with noise.
pub fn between(common: usize, own: usize, own_weight: f32) -> usize {
    let shift = (own as f32 - common as f32) * own_weight;
    (common as f32 + shift).round().max(0.0) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flank_ends_where_its_speed_has_fallen_on_either_side() {
        // A hump of height 1: its speed has one maximum on each side.
        let speed: Vec<f32> = (0..101)
            .map(|k| {
                let t = (k as f32 - 50.0) / 10.0;
                (t * (-0.5 * t * t).exp()).abs()
            })
            .collect();
        let (right, left) = (flank_end(&speed, 50, 100, 0.2, 0.5, 1.0), flank_end(&speed, 50, 0, 0.2, 0.5, 1.0));
        assert_eq!(right - 50, 50 - left);
        assert!((70..80).contains(&right), "{right}");
    }

    #[test]
    fn a_flank_that_runs_into_the_next_wave_ends_in_the_valley() {
        let speed = [0.0f32, 1.0, 0.6, 0.3, 0.4, 0.9, 1.0];
        assert_eq!(flank_end(&speed, 0, 4, 0.05, 0.5, 2.0), 3);
        let speed = [0.0f32, 1.0, 0.6, 0.3, 0.5, 0.9, 1.4];
        assert_eq!(flank_end(&speed, 0, 5, 0.05, 0.5, 2.0), 3);
    }

    #[test]
    fn a_steeper_wave_beyond_the_valley_does_not_take_the_flank_over() {
        let speed = [0.0f32, 1.0, 0.6, 0.3, 0.9, 4.0, 3.0, 0.1];
        assert_eq!(flank_end(&speed, 0, 7, 0.35, 0.5, 0.5), 3);
        assert_eq!(flank_end(&speed, 0, 7, 0.35, 0.5, 2.0), 7, "a speed of 1 is not enough to be the flank");
    }
}
