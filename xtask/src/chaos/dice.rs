//! Random numbers that a printed seed repeats (xorshift).

use std::time::{SystemTime, UNIX_EPOCH};

pub struct Dice {
    pub seed: u64,
    state: u64,
}

impl Dice {
    /// `CHAOS_SEED`, or the clock.
    pub fn new() -> Self {
        let seed = std::env::var("CHAOS_SEED").ok().and_then(|text| text.parse().ok());
        let clock = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_secs());
        let seed = seed.unwrap_or_else(clock).max(1);
        Dice { seed, state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).max(1) }
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state % limit
    }

    pub fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most - least + 1)
    }
}
