//! Guards password logins against guessing: after a few failures a name must wait.

use chrono::{DateTime, TimeDelta, Utc};
use std::collections::HashMap;
use std::sync::Mutex;

const ALLOWED: u32 = 5;
const WAIT: TimeDelta = TimeDelta::minutes(1);
/// Beyond this many names the oldest knowledge is dropped: memory is bounded whatever is sent.
const NAMES: usize = 10_000;

#[derive(Default)]
pub struct Attempts(Mutex<HashMap<String, (u32, DateTime<Utc>)>>);

impl Attempts {
    /// Counts an attempt for the name, before the password is looked at; false when it must wait.
    pub fn begin(&self, name: &str, now: DateTime<Utc>) -> bool {
        let mut names = self.0.lock().expect("no holder panics");
        if names.len() >= NAMES {
            names.retain(|_, (_, since)| now - *since < WAIT);
            if names.len() >= NAMES {
                names.clear();
            }
        }
        let entry = names.entry(name.to_string()).or_insert((0, now));
        if now - entry.1 >= WAIT {
            *entry = (0, now);
        }
        entry.0 += 1;
        entry.0 <= ALLOWED
    }

    /// A right password clears the count.
    pub fn succeeded(&self, name: &str) {
        self.0.lock().expect("no holder panics").remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sixth_guess_waits_a_minute() {
        let attempts = Attempts::default();
        let now = DateTime::UNIX_EPOCH;
        assert!((0..5).all(|_| attempts.begin("eva", now)));
        assert!(!attempts.begin("eva", now));
        assert!(attempts.begin("ben", now), "others are not held up");
        assert!(attempts.begin("eva", now + WAIT));
    }
}
