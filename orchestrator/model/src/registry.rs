//! The kinds that are known: those of the program, handed to the engine by `app`, and those that people wrote as files.

use crate::spec::CustomKind;
use crate::task::Task;
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Clone, Default)]
pub struct Registry {
    kinds: BTreeMap<&'static str, Arc<dyn Task>>,
    custom: Arc<BTreeMap<String, CustomKind>>,
}

impl Registry {
    pub fn new(kinds: impl IntoIterator<Item = Arc<dyn Task>>) -> Self {
        let kinds = kinds.into_iter().map(|kind| (kind.kind(), kind)).collect();
        Registry { kinds, custom: Arc::default() }
    }

    /// The same with these custom kinds instead of those that it had.
    pub fn with_custom(&self, kinds: impl IntoIterator<Item = CustomKind>) -> Self {
        let custom = kinds.into_iter().map(|kind| (kind.name().to_owned(), kind)).collect();
        Registry { kinds: self.kinds.clone(), custom: Arc::new(custom) }
    }

    pub fn get(&self, kind: &str) -> Option<&Arc<dyn Task>> {
        self.kinds.get(kind)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<dyn Task>> {
        self.kinds.values()
    }

    pub fn custom(&self, kind: &str) -> Option<&CustomKind> {
        self.custom.get(kind)
    }

    pub fn customs(&self) -> impl Iterator<Item = &CustomKind> {
        self.custom.values()
    }

    /// Of all kinds, as `uses:` takes them.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.kinds.keys().copied().chain(self.custom.keys().map(String::as_str))
    }
}
