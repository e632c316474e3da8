//! What stops the engine as a whole. What goes wrong in one round of a loop is logged, counted and tried again.

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error("dags folder {path}: {source}; create it or name another one with --dags")]
    Dags { path: std::path::PathBuf, source: std::io::Error },
    #[error("the timer cannot start: {0}")]
    Timer(#[from] tokio_cron_scheduler::JobSchedulerError),
    #[error("{0} did not come back")]
    Interrupted(&'static str),
}

pub type Result<T> = std::result::Result<T, Error>;
