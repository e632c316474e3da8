//! All consumer groups that have members, by name. Not here: what a group does (`group`), offsets (`meta`).

use crate::group::Group;
use std::collections::HashMap;
use std::time::Instant;

/// Groups with members, or with members about to join.
const MAX_GROUPS: usize = 10_000;

#[derive(Default)]
pub(crate) struct Groups {
    groups: HashMap<String, Group>,
    last_member: u64,
}

impl Groups {
    pub fn get(&self, name: &str) -> Option<&Group> {
        self.groups.get(name)
    }

    pub fn get_mut(&mut self, name: &str) -> Option<&mut Group> {
        self.groups.get_mut(name)
    }

    /// The group of this name, new if there is none. `None` if there are too many already.
    pub fn enter(&mut self, name: &str) -> Option<&mut Group> {
        if self.groups.len() >= MAX_GROUPS && !self.groups.contains_key(name) {
            return None;
        }
        Some(self.groups.entry(name.to_owned()).or_insert_with(Group::new))
    }

    pub fn iter(&self) -> impl Iterator<Item = (&String, &Group)> {
        self.groups.iter()
    }

    /// A member id that was not given out before, not even before a restart.
    pub fn fresh_member_id(&mut self, client_id: &str, now_ms: i64) -> String {
        self.last_member += 1;
        format!("{client_id}-{now_ms}-{}", self.last_member)
    }

    /// Does what is due in all groups and forgets those that nobody is in.
    pub fn tick(&mut self, now: Instant) {
        self.groups.values_mut().for_each(|group| group.tick(now));
        self.groups.retain(|_, group| !group.is_deserted());
    }

    pub fn next_due(&self) -> Option<Instant> {
        self.groups.values().filter_map(Group::next_due).min()
    }
}
