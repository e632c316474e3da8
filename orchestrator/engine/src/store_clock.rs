//! The time of the store, on a node whose own clock may be wrong by minutes: the local clock, put right by what was measured.
//!
//! All nodes so agree on leases, duties and ticks within half a round trip. It does not go back for less than two seconds: it stands
//! until the time has come again. More than that means that somebody has set a clock, and is followed.
//!
//! Not here: when to measure (the lease loop, before each heartbeat).

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use model::Clock;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::Duration;
use store::Store;
use tracing::{info, warn};

/// The clock that all nodes go by.
#[async_trait]
pub trait Reference: Send + Sync + 'static {
    async fn now(&self) -> store::Result<DateTime<Utc>>;
}

#[async_trait]
impl Reference for Store {
    async fn now(&self) -> store::Result<DateTime<Utc>> {
        self.clock().await
    }
}

pub struct StoreClock {
    local: Arc<dyn Clock>,
    reference: Arc<dyn Reference>,
    /// In microseconds: what must be added to the local time.
    offset: AtomicI64,
    /// The latest instant that was told.
    told: AtomicI64,
    /// When a clock was set last, as far as it was noticed.
    set_at: AtomicI64,
}

/// A step of a clock, not its drift.
const STEP: TimeDelta = TimeDelta::seconds(2);
/// The first answer tells nothing else than the time, so it is waited for.
const FIRST_ANSWER_MAX: Duration = Duration::from_secs(30);

impl StoreClock {
    /// Measures before it tells anything.
    pub async fn start(
        local: Arc<dyn Clock>,
        reference: Arc<dyn Reference>,
    ) -> store::Result<Arc<StoreClock>> {
        let (offset, told, set_at) = (AtomicI64::new(0), AtomicI64::new(i64::MIN), AtomicI64::new(i64::MIN));
        let clock = StoreClock { local, reference, offset, told, set_at };
        let (least, most) = clock.bounds(FIRST_ANSWER_MAX).await?;
        let offset = least + (most - least) / 2;
        clock.offset.store(offset, Relaxed);
        if is_step(offset) {
            warn!(seconds = offset / 1_000_000, "the clock of this machine is wrong; the database's is used");
        }
        Ok(Arc::new(clock))
    }

    pub fn now(&self) -> DateTime<Utc> {
        let now = micros(self.local.now()).saturating_add(self.offset.load(Relaxed));
        let told = self.told.fetch_max(now, Relaxed).max(now);
        DateTime::from_timestamp_micros(told).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    /// Puts it right by as much as the answer proves: a slow answer proves little.
    pub async fn measure(&self, limit: Duration) -> store::Result<()> {
        let (least, most) = self.bounds(limit).await?;
        let before = self.offset.load(Relaxed);
        let after = before.clamp(least, most);
        self.offset.store(after, Relaxed);
        if is_step(after.saturating_sub(before)) {
            let now = micros(self.local.now()).saturating_add(after);
            self.told.store(now, Relaxed);
            self.set_at.store(now, Relaxed);
            info!(
                seconds = (after - before) / 1_000_000,
                "a clock was set: the database's or this machine's"
            );
        }
        Ok(())
    }

    /// What this machine's own clock lacks of the store's; negative where it is ahead.
    pub fn skew(&self) -> TimeDelta {
        TimeDelta::microseconds(self.offset.load(Relaxed))
    }

    /// Whether no clock was set for so long.
    pub(crate) fn is_steady_for(&self, time: TimeDelta) -> bool {
        micros(self.now()).saturating_sub(self.set_at.load(Relaxed))
            >= time.num_microseconds().unwrap_or(i64::MAX)
    }

    /// Between which two the offset lies.
    async fn bounds(&self, limit: Duration) -> store::Result<(i64, i64)> {
        let sent = self.local.now();
        let answer = tokio::time::timeout(limit, self.reference.now()).await;
        let there = answer.unwrap_or_else(|_| {
            Err(store::Error::Connect { message: format!("no answer within {limit:?}") })
        })?;
        let heard = self.local.now();
        let (least, most) = (micros(there) - micros(heard), micros(there) - micros(sent));
        Ok((least.min(most), least.max(most)))
    }
}

impl Clock for StoreClock {
    fn now(&self) -> DateTime<Utc> {
        StoreClock::now(self)
    }
}

fn is_step(micros: i64) -> bool {
    TimeDelta::microseconds(micros).abs() > STEP
}

fn micros(instant: DateTime<Utc>) -> i64 {
    instant.timestamp_micros()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::world::SameClock;
    use model::FixedClock;
    use std::sync::Mutex;

    fn at(seconds: i64) -> Arc<FixedClock> {
        Arc::new(FixedClock::at(DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)))
    }

    fn seconds(clock: &dyn Clock) -> i64 {
        clock.now().timestamp()
    }

    #[tokio::test]
    async fn a_clock_that_is_wrong_tells_the_stores_time() {
        let (local, there) = (at(300), at(0));
        let clock = StoreClock::start(local.clone(), Arc::new(SameClock(there.clone()))).await.unwrap();
        assert_eq!(seconds(&*clock), 0);
        assert_eq!(clock.skew(), TimeDelta::seconds(-300), "this machine is ahead");
        local.advance(TimeDelta::seconds(10));
        assert_eq!(seconds(&*clock), 10, "without asking");
        there.advance(TimeDelta::seconds(15));
        clock.measure(FIRST_ANSWER_MAX).await.unwrap();
        assert_eq!(seconds(&*clock), 15);
    }

    #[tokio::test]
    async fn it_does_not_go_back_for_a_little_and_stands_until_the_time_has_come_again() {
        let (local, there) = (at(0), at(100));
        let clock = StoreClock::start(local.clone(), Arc::new(SameClock(there.clone()))).await.unwrap();
        assert_eq!(seconds(&*clock), 100);
        there.advance(TimeDelta::seconds(-1));
        clock.measure(FIRST_ANSWER_MAX).await.unwrap();
        assert_eq!(seconds(&*clock), 100);
        local.advance(TimeDelta::seconds(5));
        assert_eq!(seconds(&*clock), 104);
        assert!(clock.is_steady_for(TimeDelta::minutes(1)));
    }

    #[tokio::test]
    async fn a_store_whose_clock_was_set_is_followed_and_that_is_known_for_a_while() {
        for step in [-600, 600] {
            let (local, there) = (at(0), at(10_000));
            let clock = StoreClock::start(local.clone(), Arc::new(SameClock(there.clone()))).await.unwrap();
            assert_eq!(seconds(&*clock), 10_000);
            there.advance(TimeDelta::seconds(step));
            clock.measure(FIRST_ANSWER_MAX).await.unwrap();
            assert_eq!(seconds(&*clock), 10_000 + step);
            assert!(!clock.is_steady_for(TimeDelta::seconds(30)));
            local.advance(TimeDelta::seconds(30));
            assert!(clock.is_steady_for(TimeDelta::seconds(30)));
        }
    }

    /// Takes its time with the answer, on both ways alike.
    struct Slow {
        clock: Arc<FixedClock>,
        local: Arc<FixedClock>,
        way: Mutex<i64>,
    }

    #[async_trait]
    impl Reference for Slow {
        async fn now(&self) -> store::Result<DateTime<Utc>> {
            let way = TimeDelta::seconds(*self.way.lock().unwrap());
            for clock in [&self.clock, &self.local] {
                clock.advance(way);
            }
            let now = self.clock.now();
            for clock in [&self.clock, &self.local] {
                clock.advance(way);
            }
            Ok(now)
        }
    }

    #[tokio::test]
    async fn a_slow_answer_moves_it_no_further_than_it_proves() {
        let (local, there) = (at(300), at(0));
        let slow = Arc::new(Slow { clock: there.clone(), local: local.clone(), way: Mutex::new(0) });
        let clock = StoreClock::start(local.clone(), slow.clone()).await.unwrap();
        *slow.way.lock().unwrap() = 20;
        clock.measure(FIRST_ANSWER_MAX).await.unwrap();
        assert_eq!(seconds(&*clock), seconds(&*there), "it was right, and stays so");
        there.advance(TimeDelta::seconds(30));
        clock.measure(FIRST_ANSWER_MAX).await.unwrap();
        assert_eq!(seconds(&*there) - seconds(&*clock), 20, "at least ten of the thirty are proven");
    }
}
