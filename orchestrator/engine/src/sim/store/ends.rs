//! Ends of attempts: checked against the lease and judged by `model::ending::after`, as in `store::ends`.

use super::{HistoryRow, Plant, Tables, inconsistent};
use chrono::{DateTime, SubsecRound, Utc};
use model::TaskState;
use model::ending::{self, Ending, History};
use std::collections::BTreeSet;
use store::Result;
use store::attempts::{Claim, End, Finished};
use store::runs::Advanced;

impl Tables {
    pub fn finish_batch(
        &mut self,
        ends: Vec<End>,
        now: DateTime<Utc>,
        claim: Option<&Claim>,
    ) -> Result<Finished> {
        let runs: BTreeSet<i64> = ends.iter().filter_map(|end| self.run_of(end)).collect();
        let (mut stale, mut pasts) = (Vec::new(), BTreeSet::new());
        let mut counted = 0;
        for end in ends {
            if self.holds(&end) {
                let attempt = &self.attempts[&self.meant(&end)];
                if self.run_row(attempt.run).dag.tasks[attempt.task].depends_on_past {
                    pasts.insert(attempt.run);
                }
                self.end(end, now)?;
                counted += 1;
            } else {
                self.stale_ends += 1;
                stale.push(end.attempt_id);
            }
        }
        if counted == 0 {
            return Ok(Finished { runs: Vec::new(), stale });
        }
        Ok(Finished { runs: self.step(runs.into_iter().collect(), Some(&pasts), now, claim)?, stale })
    }

    fn run_of(&self, end: &End) -> Option<i64> {
        self.attempts.get(&self.meant(end)).map(|attempt| attempt.run)
    }

    /// The attempt that the report is about: with planted bugs, not always the one that it names.
    fn meant(&self, end: &End) -> i64 {
        if !self.has(Plant::FinishIgnoresTheLease) || self.attempts.contains_key(&end.attempt_id) {
            return end.attempt_id;
        }
        let past = self.history.iter().find(|past| past.attempt == end.attempt_id);
        let now =
            past.and_then(|past| self.run_row(past.run).instances.get(&(past.task, past.map_index))?.attempt);
        now.filter(|now| self.attempts[now].lease.is_some()).unwrap_or(end.attempt_id)
    }

    fn holds(&self, end: &End) -> bool {
        let attempt = self.attempts.get(&self.meant(end));
        attempt.is_some_and(|attempt| {
            attempt.lease == Some(end.lease)
                || attempt.lease.is_some() && self.has(Plant::FinishIgnoresTheLease)
        })
    }

    fn end(&mut self, end: End, now: DateTime<Utc>) -> Result<()> {
        let id = self.meant(&end);
        let attempt = self.attempts[&id].clone();
        let key = (attempt.task, attempt.map_index);
        let run = self.run_row(attempt.run);
        let dag = run.dag.clone();
        let task = &dag.tasks[attempt.task];
        let instance = &run.instances[&key];
        let history = History {
            try_number: instance.try_number,
            failures: instance.failures
                - u32::from(instance.failures > 0 && self.has(Plant::OneRetryTooMany)),
            losses: instance.losses,
            starts: self.starts(&attempt, task.service.as_ref().map_or(0, |service| service.budget as usize)),
            drained: attempt.stop_requested || run.cancel_requested_at.is_some(),
        };
        let seed = (attempt.run as u64) << 32 | (attempt.task as u64) << 8 | (attempt.map_index + 1) as u64;
        let next = ending::after(&end.ending, task, &history, now, seed);
        let keeps = self.has(Plant::EndsTwice) && end.ending == Ending::Done;
        if !keeps {
            self.attempts.remove(&id);
        }
        self.history.push(HistoryRow {
            attempt: id,
            lease: attempt.lease,
            shown: Some(end.lease),
            run: attempt.run,
            task: attempt.task,
            map_index: attempt.map_index,
            ending: end.ending.as_str(),
            next: next.state,
            started_at: attempt.started_at,
        });
        if next.state == TaskState::Success && !self.has(Plant::AssetEventsComeLate) {
            task.writes.iter().for_each(|asset| self.wrote(asset, Some(id)));
        }
        let row = self.change_run(attempt.run);
        if keeps && row.instances[&key].state.0 == next.state {
            return Ok(());
        }
        row.set_state(key, next.state, now)?;
        let Some(instance) = row.instances.get_mut(&key) else {
            return Err(inconsistent(attempt.run, key, "it is gone".to_owned()));
        };
        match end.ending {
            Ending::Failed | Ending::FailedForGood | Ending::TimedOut => instance.failures += 1,
            Ending::Lost => instance.losses += 1,
            Ending::Done | Ending::Skipped | Ending::Poke { .. } | Ending::Cancelled => {}
        }
        instance.attempt = None;
        instance.next_at = (!next.state.is_final()).then(|| next.next_at.unwrap_or(now).trunc_subsecs(6));
        let gives = matches!(next.state, TaskState::Success | TaskState::Skipped);
        instance.outputs = end.outputs.filter(|_| gives);
        Ok(())
    }

    /// When the newest tries of a service began, lost ones not counted.
    fn starts(&self, attempt: &super::AttemptRow, budget: usize) -> Vec<DateTime<Utc>> {
        if !attempt.is_service {
            return Vec::new();
        }
        let same = |past: &&HistoryRow| {
            (past.run, past.task, past.map_index) == (attempt.run, attempt.task, attempt.map_index)
                && past.ending != "lost"
        };
        let past = self.history.iter().rev().filter(same).filter_map(|past| past.started_at);
        past.take(budget).chain(attempt.started_at).collect()
    }

    pub fn mark_ready(
        &mut self,
        attempt_id: i64,
        lease: i64,
        now: DateTime<Utc>,
        claim: Option<&Claim>,
    ) -> Result<Advanced> {
        let held = self.attempts.get_mut(&attempt_id).filter(|attempt| attempt.lease == Some(lease));
        let Some(attempt) = held else { return Err(stale(attempt_id)) };
        attempt.ready = true;
        let run = attempt.run;
        self.touched.insert(run);
        let stepped = self.step(vec![run], None, now, claim)?;
        Ok(stepped.into_iter().next().map(|(_, advanced)| advanced).unwrap_or_default())
    }

    pub fn put_status(&self, attempt_id: i64, lease: i64) -> Result<()> {
        let held = self.attempts.get(&attempt_id).is_some_and(|attempt| attempt.lease == Some(lease));
        if held { Ok(()) } else { Err(stale(attempt_id)) }
    }
}

fn stale(attempt_id: i64) -> store::Error {
    store::Error::Stale { what: format!("attempt {attempt_id}") }
}
