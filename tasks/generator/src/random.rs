//! Random numbers of the simulation: one small stream for each user, so that a user's life does not depend on how many others there are.
//!
//! Logarithms and sines come from `libm`, not from the platform: a topic begun on one machine must be continued byte for byte on another.

const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

/// A SplitMix64 stream: eight bytes of state, which is what a million users can afford.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Random(u64);

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Random {
    pub(crate) fn stream(seed: u64, stream: u64) -> Self {
        Self(mix(seed ^ mix(stream.wrapping_add(GAMMA))))
    }

    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GAMMA);
        mix(self.0)
    }

    /// Uniform in the open interval (0, 1).
    pub(crate) fn unit(&mut self) -> f64 {
        ((self.bits() >> 11) as f64 + 0.5) * (1.0 / (1u64 << 53) as f64)
    }

    pub(crate) fn exponential(&mut self, mean: f64) -> f64 {
        -mean * libm::log(self.unit())
    }

    pub(crate) fn normal(&mut self) -> f64 {
        let radius = libm::sqrt(-2.0 * libm::log(self.unit()));
        radius * libm::cos(2.0 * std::f64::consts::PI * self.unit())
    }

    /// Log-normal with mean one: how much slower or faster than the average a user is.
    pub(crate) fn pace(&mut self) -> f64 {
        libm::exp(self.normal() - 0.5)
    }
}

/// Weighted choice in constant time (Vose's alias method).
#[derive(Debug, Clone)]
pub(crate) struct Weighted {
    /// (threshold scaled to 2^32, alternative)
    slots: Box<[(u32, u32)]>,
}

impl Weighted {
    /// `None` when there is nothing to choose: no weight above zero, or a weight that is negative or not finite.
    pub(crate) fn new(weights: &[f64]) -> Option<Self> {
        let sum: f64 = weights.iter().sum();
        if !sum.is_finite() || sum <= 0.0 || weights.iter().any(|w| *w < 0.0) {
            return None;
        }
        let mut share: Vec<f64> = weights.iter().map(|w| w * weights.len() as f64 / sum).collect();
        let mut slots: Vec<(u32, u32)> = (0..weights.len() as u32).map(|i| (u32::MAX, i)).collect();
        let (mut small, mut large): (Vec<usize>, Vec<usize>) =
            (0..weights.len()).partition(|&i| share[i] < 1.0);
        while let (Some(&low), Some(&high)) = (small.last(), large.last()) {
            small.pop();
            slots[low] = ((share[low] * (1u64 << 32) as f64) as u32, high as u32);
            share[high] -= 1.0 - share[low];
            if share[high] < 1.0 {
                large.pop();
                small.push(high);
            }
        }
        // Rounding can leave a weightless slot without an alternative; it must never be chosen.
        let heaviest = (0..weights.len()).max_by(|&a, &b| weights[a].total_cmp(&weights[b])).unwrap_or(0);
        for (slot, weight) in slots.iter_mut().zip(weights) {
            if *weight == 0.0 && slot.0 == u32::MAX {
                *slot = (0, heaviest as u32);
            }
        }
        Some(Self { slots: slots.into_boxed_slice() })
    }

    pub(crate) fn pick(&self, random: &mut Random) -> usize {
        let bits = random.bits();
        let slot = (((bits >> 32) * self.slots.len() as u64) >> 32) as usize;
        let (threshold, other) = self.slots[slot];
        if (bits as u32) < threshold { slot } else { other as usize }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weighted_choice_follows_its_weights() {
        let weights = [10.0, 0.0, 2.0, 0.5, 7.5];
        let table = Weighted::new(&weights).unwrap();
        let mut random = Random::stream(7, 1);
        let mut seen = [0u32; 5];
        for _ in 0..200_000 {
            seen[table.pick(&mut random)] += 1;
        }
        assert_eq!(seen[1], 0, "a weight of zero is never chosen");
        for (count, weight) in seen.iter().zip(weights) {
            let share = f64::from(*count) / 200_000.0;
            assert!((share - weight / 20.0).abs() < 0.005, "seed 7: {share} for weight {weight}");
        }
    }

    #[test]
    fn impossible_weights_are_refused() {
        assert!(Weighted::new(&[]).is_none());
        assert!(Weighted::new(&[0.0, 0.0]).is_none());
        assert!(Weighted::new(&[1.0, -1.0, 3.0]).is_none());
        assert!(Weighted::new(&[f64::NAN]).is_none());
    }

    #[test]
    fn pace_has_mean_one_and_inverse_mean_e() {
        let mut random = Random::stream(3, 3);
        let (mut sum, mut inverse) = (0.0, 0.0);
        for _ in 0..200_000 {
            let pace = random.pace();
            sum += pace;
            inverse += 1.0 / pace;
        }
        assert!((sum / 200_000.0 - 1.0).abs() < 0.02, "seed 3: {sum}");
        assert!((inverse / 200_000.0 - std::f64::consts::E).abs() < 0.08, "seed 3: {inverse}");
    }
}
