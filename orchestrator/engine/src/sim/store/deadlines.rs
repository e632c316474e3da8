//! Deadlines and notices, as in `store::deadlines` and `store::notifications`.

use super::{Plant, Tables};
use chrono::{DateTime, TimeDelta, Utc};
use model::notify::{Event, Notice};
use store::notifications::{Outgoing, TRIES_MAX};

const DELAY_MIN: TimeDelta = TimeDelta::seconds(5);

pub(crate) struct DeadlineRow {
    pub due_at: DateTime<Utc>,
    pub missed_at: Option<DateTime<Utc>>,
}

pub(crate) struct NoticeRow {
    pub event: Event,
    pub run: i64,
    /// For a deadline of a task: its position.
    pub task: Option<usize>,
    pub tries: i32,
    /// `None`: sent, or dead.
    pub next_at: Option<DateTime<Utc>>,
    pub is_sent: bool,
}

impl Tables {
    /// Of a run that starts. -1 stands for the run itself.
    pub(super) fn make_deadlines(&mut self, run: i64) {
        let row = self.run_row(run);
        let (dag, base) =
            (row.dag.clone(), if row.backfill.is_none() { row.run_after } else { row.queued_at });
        let of_tasks = (0i32..).zip(&dag.tasks).map(|(task, def)| (task, def.deadline));
        for (task, length) in [(-1, dag.deadline)].into_iter().chain(of_tasks) {
            let Some(length) = length else { continue };
            let due_at = base + TimeDelta::from_std(length).expect("minutes");
            self.deadlines.entry((run, task)).or_insert(DeadlineRow { due_at, missed_at: None });
            self.ring("deadlines");
        }
    }

    pub fn miss_deadlines(&mut self, now: DateTime<Utc>, limit: usize) -> (usize, Option<DateTime<Utc>>) {
        let due = self.deadlines.iter().filter(|(_, row)| row.missed_at.is_none() && row.due_at <= now);
        let due: Vec<((i64, i32), DateTime<Utc>)> =
            due.map(|(key, row)| (*key, row.due_at)).take(limit).collect();
        let mut missed = 0;
        for ((run, task), due_at) in due {
            if self.was_kept(run, task, due_at) {
                self.deadlines.remove(&(run, task));
                continue;
            }
            if !self.has(Plant::DeadlinesAreToldAgain) {
                self.deadlines.entry((run, task)).and_modify(|row| row.missed_at = Some(now));
            }
            self.tell(Event::Deadline, run, usize::try_from(task).ok(), now);
            missed += 1;
        }
        let open = self.deadlines.values().filter(|row| row.missed_at.is_none());
        (missed, open.map(|row| row.due_at).min())
    }

    fn was_kept(&self, run: i64, task: i32, due_at: DateTime<Utc>) -> bool {
        let in_time = |ended: Option<DateTime<Utc>>| ended.is_some_and(|ended| ended <= due_at);
        let row = self.run_row(run);
        let of_task = || row.instances.iter().filter(|((of, _), _)| *of as i32 == task);
        let ended = || of_task().filter_map(|(_, instance)| instance.ended_at).max();
        let closed = || of_task().all(|(_, instance)| instance.ended_at.is_some());
        in_time(row.ended_at)
            || (task >= 0 && closed() && in_time(ended()))
            || self.has(Plant::DeadlinesAreAlwaysKept)
    }

    /// One notice for each entry of the dag that wants it.
    pub(super) fn tell(&mut self, event: Event, run: i64, task: Option<usize>, now: DateTime<Utc>) {
        let dag = self.run_row(run).dag.clone();
        for _ in dag.notify.iter().filter(|notify| notify.on.contains(&event)) {
            let id = self.notices.len() as i64 + 1;
            let row = NoticeRow { event, run, task, tries: 0, next_at: Some(now), is_sent: false };
            self.notices.insert(id, row);
            self.ring("notify");
        }
    }

    pub fn claim_notices(
        &mut self,
        now: DateTime<Utc>,
        limit: usize,
        again_at: DateTime<Utc>,
    ) -> Vec<Outgoing> {
        let due = self.notices.iter().filter(|(_, row)| row.next_at.is_some_and(|at| at <= now));
        let due: Vec<i64> = due.map(|(id, _)| *id).take(limit).collect();
        let mut claimed = Vec::new();
        for id in due {
            let row = self.notices.get_mut(&id).expect("chosen from the table");
            if row.tries >= TRIES_MAX {
                row.next_at = None;
                continue;
            }
            row.tries += 1;
            row.next_at = Some(again_at);
            claimed.push((id, row.event, row.run, row.tries));
        }
        claimed.into_iter().map(|claimed| self.outgoing(claimed, now)).collect()
    }

    fn outgoing(&self, (id, event, run, tries): (i64, Event, i64, i32), now: DateTime<Utc>) -> Outgoing {
        let row = self.run_row(run);
        let notice = Notice {
            id,
            event,
            dag_id: row.dag_id.clone(),
            run_id: row.run_id.clone(),
            task_id: None,
            run_state: row.state.as_str().to_owned(),
            at: now,
            text: String::new(),
            failed: Vec::new(),
            url: None,
            target: row.dag.notify[0].to.clone(),
        };
        Outgoing { notice, tries, run: row.shown(), dag: row.dag.clone() }
    }

    pub fn notice_sent(&mut self, id: i64) {
        let row = self.notices.get_mut(&id).expect("notices are never deleted");
        (row.is_sent, row.next_at) = (true, None);
    }

    pub fn notice_failed(&mut self, id: i64, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let row = self.notices.get_mut(&id).filter(|row| row.next_at.is_some())?;
        let doubled = DELAY_MIN * 2_i32.pow((row.tries - 1).clamp(0, 9) as u32);
        row.next_at = (row.tries < TRIES_MAX).then(|| now + doubled);
        row.next_at
    }

    pub fn next_notice(&self) -> Option<DateTime<Utc>> {
        self.notices.values().filter_map(|row| row.next_at).min()
    }
}
