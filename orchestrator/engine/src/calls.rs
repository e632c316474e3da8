//! How long calls of the store take: counts within fixed bounds, as Prometheus wants its histograms.

use serde::Serialize;
use std::time::Duration;

/// Upper bounds in microseconds: half a millisecond is a good commit, five seconds is a store that does not answer.
const BOUNDS: [u64; 11] =
    [500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000, 5_000_000];

/// One call's life so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct CallFigures {
    pub count: u64,
    /// Answers that were failures; that something has moved on is none.
    pub errors: u64,
    pub micros: u64,
    /// Calls within each bound, each with all that were quicker.
    pub within: Vec<Bound>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Bound {
    pub micros: u64,
    pub count: u64,
}

impl CallFigures {
    pub(crate) fn add(&mut self, took: Duration, has_failed: bool) {
        if self.within.is_empty() {
            self.within = BOUNDS.iter().map(|bound| Bound { micros: *bound, count: 0 }).collect();
        }
        let took = micros(took);
        self.count += 1;
        self.errors += u64::from(has_failed);
        self.micros += took;
        for bound in self.within.iter_mut().filter(|bound| took <= bound.micros) {
            bound.count += 1;
        }
    }
}

pub(crate) fn micros(length: Duration) -> u64 {
    u64::try_from(length.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bound_counts_all_that_were_as_quick() {
        let mut figures = CallFigures::default();
        figures.add(Duration::from_micros(500), false);
        figures.add(Duration::from_millis(20), true);
        figures.add(Duration::from_secs(60), false);
        assert_eq!((figures.count, figures.errors, figures.micros), (3, 1, 60_020_500));
        let counts: Vec<u64> = figures.within.iter().map(|bound| bound.count).collect();
        assert_eq!(counts, [1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2]);
    }
}
