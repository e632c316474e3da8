//! The clock of this machine, read once: from then on it goes on evenly, also when somebody sets it meanwhile.
//!
//! Not here: the time that nodes agree on (`engine::StoreClock`, which stands on this one).

use chrono::{DateTime, TimeDelta, Utc};
use std::sync::LazyLock;
use std::time::Instant;

static BEGAN: LazyLock<(DateTime<Utc>, Instant)> = LazyLock::new(|| (Utc::now(), Instant::now()));

pub struct SystemClock;

impl model::Clock for SystemClock {
    fn now(&self) -> DateTime<Utc> {
        let (began, then) = *BEGAN;
        began + TimeDelta::from_std(then.elapsed()).unwrap_or(TimeDelta::MAX)
    }
}
