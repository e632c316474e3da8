//! How often and how soon a failed task is tried again.

use serde::{Deserialize, Serialize};
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RetryPolicy {
    /// Retries after the first try; 0 means one try only.
    pub limit: u32,
    pub delay: Duration,
    pub backoff: f64,
    pub max_delay: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        RetryPolicy {
            limit: 0,
            delay: Duration::from_secs(10),
            backoff: 2.0,
            max_delay: Duration::from_secs(300),
        }
    }
}

/// The largest share of a delay that jitter takes away.
const JITTER: f64 = 0.2;

impl RetryPolicy {
    /// How long to wait after failure number `failures` (from 1). Grows by `backoff` up to `max_delay`, less a share of up to a
    /// fifth that depends on the seed alone: instances that failed together come back apart, and one instance never sooner than
    /// the time before.
    pub fn delay_after(&self, failures: u32, seed: u64) -> Duration {
        let factor = if self.backoff.is_finite() { self.backoff.max(1.0) } else { 1.0 };
        let exponent = i32::try_from(failures.saturating_sub(1)).unwrap_or(i32::MAX);
        let grown = if self.delay.is_zero() { 0.0 } else { self.delay.as_secs_f64() * factor.powi(exponent) };
        let capped = grown.min(self.max_delay.as_secs_f64());
        let jittered = capped * (1.0 - JITTER * fraction(seed));
        Duration::try_from_secs_f64(jittered).unwrap_or(self.max_delay).min(self.max_delay)
    }
}

/// A number in [0, 1) that depends on the seed only (SplitMix64's mixing).
fn fraction(seed: u64) -> f64 {
    let mut bits = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^= bits >> 31;
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn policy(delay_ms: u64, backoff: f64, max_ms: u64) -> RetryPolicy {
        RetryPolicy {
            limit: 3,
            delay: Duration::from_millis(delay_ms),
            backoff,
            max_delay: Duration::from_millis(max_ms),
        }
    }

    #[test]
    fn delays_double_until_the_cap() {
        let policy = policy(10_000, 2.0, 60_000);
        let delays: Vec<f64> = (1..=5).map(|n| policy.delay_after(n, 7).as_secs_f64()).collect();
        for (delay, base) in delays.iter().zip([10.0, 20.0, 40.0, 60.0, 60.0]) {
            assert!(*delay <= base && *delay >= base * 0.8, "{delay} is not within a fifth below {base}");
        }
    }

    #[test]
    fn a_million_tries_and_senseless_factors_do_not_overflow() {
        for backoff in [f64::NAN, f64::INFINITY, f64::MAX, -3.0, 0.0, 1.0, 2.0] {
            let policy =
                RetryPolicy { limit: 9, delay: Duration::MAX, backoff, max_delay: Duration::from_secs(300) };
            assert!(policy.delay_after(1_000_000, 1) <= Duration::from_secs(300));
            assert!(policy.delay_after(u32::MAX, 1) >= Duration::from_secs(240));
        }
        let none =
            RetryPolicy { limit: 1, delay: Duration::ZERO, backoff: f64::MAX, max_delay: Duration::MAX };
        assert_eq!(none.delay_after(1_000_000, 1), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn delays_are_monotone_capped_and_within_the_jitter(
            delay in 0u64..100_000, backoff in 0.5f64..10.0, max in 0u64..10_000_000, failures in 1u32..2_000_000, seed: u64,
        ) {
            let policy = policy(delay, backoff, max);
            let one = policy.delay_after(failures, seed);
            let next = policy.delay_after(failures + 1, seed);
            prop_assert!(one <= next);
            prop_assert!(next <= policy.max_delay);
            let floor = policy.delay.min(policy.max_delay).as_secs_f64() * (1.0 - JITTER);
            prop_assert!(one.as_secs_f64() >= floor - 1e-6);
            prop_assert_eq!(one, policy.delay_after(failures, seed));
        }
    }
}
