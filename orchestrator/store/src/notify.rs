//! LISTEN and NOTIFY: hints that something may be there to do.

use crate::{Result, Store};

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Ring {
    /// Attempts were queued.
    Work,
    /// A run was created or wants a look (cancel, clear).
    Runs,
    /// A dag changed (version, pause).
    Dags,
    /// An attempt has new log lines.
    Log(i64),
    /// An attempt of this node may have been asked to stop.
    Stop,
    /// The connection was lost and is back: anything may have happened meanwhile.
    Reconnected,
}

/// A LISTEN connection of its own, which reconnects by itself.
pub struct Listener {
    _private: (),
}

impl Store {
    pub async fn listen(&self) -> Result<Listener> {
        todo!()
    }
}

impl Listener {
    /// The next ring. Never ends by itself; errors of the connection become `Ring::Reconnected` once it is back.
    pub async fn next(&mut self) -> Ring {
        todo!()
    }
}
