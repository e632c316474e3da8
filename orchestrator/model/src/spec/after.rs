//! What comes after a task by what is said so far: naming one of these as its need would close a circle.

use super::graph::Said;
use super::tasks::Raw;
use std::mem::replace;

pub(super) struct After<'r, 'n> {
    raw: &'r [Raw<'n>],
    needed_by: Vec<Vec<usize>>,
    /// What is directly in a group.
    members: Vec<Vec<usize>>,
}

impl<'r, 'n> After<'r, 'n> {
    pub fn new(raw: &'r [Raw<'n>], said: &Said) -> Self {
        let (mut needed_by, mut members) = (vec![Vec::new(); raw.len()], vec![Vec::new(); raw.len()]);
        for (at, needs) in said.iter().enumerate() {
            needs.iter().for_each(|(from, _)| needed_by[*from].push(at));
        }
        for (at, own) in raw.iter().enumerate() {
            own.group.into_iter().for_each(|group| members[group].push(at));
        }
        After { raw, needed_by, members }
    }

    /// For each task and group whether it ends only after this one has begun; so does this one itself.
    pub fn of(&self, at: usize) -> Vec<bool> {
        let (mut begins, mut ends) = (vec![false; self.raw.len()], vec![false; self.raw.len()]);
        let mut open = vec![(at, true)];
        while let Some((at, begins_after)) = open.pop() {
            if begins_after && !replace(&mut begins[at], true) {
                open.extend(self.members[at].iter().map(|member| (*member, true)));
            }
            if !replace(&mut ends[at], true) {
                open.extend(self.needed_by[at].iter().map(|next| (*next, true)));
                // The group ends after it, but its other members need not.
                open.extend(self.raw[at].group.map(|group| (group, false)));
            }
        }
        ends
    }
}
