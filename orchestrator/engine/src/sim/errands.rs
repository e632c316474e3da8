//! Calls of the store that are several transactions: whatever happens to a node may happen between them.

use super::store::Plant;
use super::wire::Wire;
use chrono::{DateTime, Utc};
use store::Result;
use store::attempts::{Claim, End, Finished};
use store::runs::Advanced;

impl Wire {
    fn has(&self, plant: Plant) -> bool {
        self.world.lock().tables.has(plant)
    }

    /// One transaction for each dag.
    pub(super) async fn promote_all(
        &self,
        now: DateTime<Utc>,
        limit: usize,
        claim: Option<&Claim>,
    ) -> Result<Vec<(i64, Advanced)>> {
        let dags = self.call("dags to promote", move |tables| Ok(tables.dags_to_promote(now, limit))).await?;
        let share = limit.div_ceil(dags.len().max(1));
        let (mut promoted, mut room) = (Vec::new(), claim.cloned());
        for dag_id in dags {
            let claim = room.clone();
            let started = self
                .call("promote", move |tables| tables.promote_dag(&dag_id, share, now, claim.as_ref()))
                .await;
            let started = match started {
                Ok(started) => started,
                Err(error) if promoted.is_empty() => return Err(error),
                Err(_) => break,
            };
            if let Some(room) = &mut room {
                let claimed = started.iter().flat_map(|(_, advanced): &(i64, Advanced)| &advanced.claimed);
                for attempt in claimed {
                    let service = attempt.dag.tasks[attempt.task].service.is_some();
                    let places = if service { &mut room.service_slots } else { &mut room.slots };
                    *places = places.saturating_sub(1);
                }
            }
            promoted.extend(started);
        }
        Ok(promoted)
    }

    /// A look at the queues, and one transaction for each dag whose queue is enough.
    pub(super) async fn start_by_assets(&self, now: DateTime<Utc>) -> Result<usize> {
        if self.world.lock().tables.asset_queue.is_empty() {
            return Ok(0);
        }
        let dags = self.call("asset dags", |tables| Ok(tables.asset_dags())).await?;
        let mut made = 0;
        for dag_id in dags {
            if self.has(Plant::AssetEventsAreTakenFirst) {
                let taken = dag_id.clone();
                self.call("take events", move |tables| Ok(tables.asset_queue.remove(&taken).is_some()))
                    .await?;
            }
            let call =
                self.call("trigger by assets", move |tables| Ok(tables.trigger_by_assets(&dag_id, now)));
            made += usize::from(call.await?);
        }
        Ok(made)
    }

    pub(super) async fn finish_all(
        &self,
        ends: Vec<End>,
        now: DateTime<Utc>,
        claim: Option<&Claim>,
    ) -> Result<Finished> {
        let attempts: Vec<i64> = ends.iter().map(|end| end.attempt_id).collect();
        let claim = claim.cloned();
        let finished =
            self.call("finish", move |tables| tables.finish_batch(ends, now, claim.as_ref())).await?;
        if self.has(Plant::AssetEventsComeLate) {
            self.call("write events", move |tables| {
                tables.write_late(&attempts);
                Ok(())
            })
            .await?;
        }
        Ok(finished)
    }

    /// The rest of `expire_nodes` and of a goodbye: what is held by no live node ends, in transactions of their own.
    pub(super) async fn end_lost(&self, now: DateTime<Utc>) -> Result<usize> {
        let lost = self.call("find lost", |tables| Ok(tables.lost())).await?;
        let count = lost.len();
        if count == 0 {
            return Ok(0);
        }
        let finished = self.call("end lost", move |tables| tables.finish_batch(lost, now, None)).await?;
        Ok(count - finished.stale.len())
    }
}
