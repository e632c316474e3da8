//! A question is answered once and by one; what waits for an approval goes on only with it; a clear forgets old answers.

use super::{Broken, States};
use crate::sim::kind::APPROVE;
use crate::sim::store::{RunRow, Tables};
use model::TaskState;
use std::collections::BTreeMap;

#[derive(Default)]
pub(super) struct Seen {
    answers: BTreeMap<(i64, usize, i32), (bool, String)>,
}

impl Seen {
    /// After a transaction that has changed the run, whose instances were in these states before.
    pub fn after(&mut self, tables: &Tables, row: &RunRow, before: Option<&States>) -> Broken {
        let asks = |task: usize| row.dag.tasks[task].uses == APPROVE;
        for ((task, map_index), instance) in row.instances.iter().filter(|((task, _), _)| asks(*task)) {
            let key = (row.id, *task, *map_index);
            let answer = tables.approvals.get(&key).and_then(|row| row.decided.clone());
            let was = before.and_then(|before| before.get(&(*task, *map_index))).copied();
            let begins_anew =
                instance.state.0 == TaskState::None && was.is_some_and(|state| state != TaskState::None);
            if begins_anew && tables.approvals.contains_key(&key) {
                return Err(format!("the question of {key:?} has outlived a clear"));
            }
            let succeeds = instance.state.0 == TaskState::Success && was != Some(TaskState::Success);
            if succeeds && !matches!(answer, Some((true, _))) {
                return Err(format!("{key:?} went on without an approval: {answer:?}"));
            }
            let old = match answer.clone() {
                Some(answer) => self.answers.insert(key, answer),
                None => self.answers.remove(&key),
            };
            if !begins_anew && old.is_some() && answer.is_some() && old != answer {
                return Err(format!("{key:?} was answered twice: {old:?}, {answer:?}"));
            }
        }
        Ok(())
    }
}
