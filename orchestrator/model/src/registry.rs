//! The kinds that are known, handed to the engine by `app`.

use crate::task::Task;
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Clone, Default)]
pub struct Registry(BTreeMap<&'static str, Arc<dyn Task>>);

impl Registry {
    pub fn new(kinds: impl IntoIterator<Item = Arc<dyn Task>>) -> Self {
        Registry(kinds.into_iter().map(|kind| (kind.kind(), kind)).collect())
    }

    pub fn get(&self, kind: &str) -> Option<&Arc<dyn Task>> {
        self.0.get(kind)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<dyn Task>> {
        self.0.values()
    }
}
