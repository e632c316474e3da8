//! Connections, the writer's turn, and cancellation: dropping the future of [`Pool::run`] interrupts its statement.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ::duckdb::{Connection, InterruptHandle};
use tokio::sync::{OwnedMutexGuard, Semaphore};

use super::{registry, run};
use crate::Error;

/// Statements at a time; each may use all of DuckDB's threads.
const CONNECTIONS: usize = 4;
/// An interrupt that comes between two statements is forgotten by DuckDB, hence repeated.
const INTERRUPT_EVERY: Duration = Duration::from_millis(5);

pub(crate) struct Pool {
    idle: Mutex<Vec<Connection>>,
    /// The first connection: only cloned, so that an in-memory database lives as long as the pool.
    root: Mutex<Option<Connection>>,
    permits: Arc<Semaphore>,
    writer: Arc<tokio::sync::Mutex<()>>,
    path: Option<PathBuf>,
}

impl Pool {
    pub(crate) fn new(root: Connection, path: Option<PathBuf>) -> Result<Arc<Self>, Error> {
        Ok(Arc::new(Self {
            idle: Mutex::new(Vec::new()),
            root: Mutex::new(Some(root)),
            permits: Arc::new(Semaphore::new(CONNECTIONS)),
            writer: Arc::new(tokio::sync::Mutex::new(())),
            path,
        }))
    }

    /// Waits for the right to write; hold it until the transaction has ended.
    pub(crate) async fn writer(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.writer).lock_owned().await
    }

    /// Runs `work` with a connection on a blocking thread.
    pub(crate) async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Connection, &AtomicBool) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let permit = Arc::clone(&self.permits)
            .acquire_owned()
            .await
            .map_err(|closed| Error::Worker(closed.to_string()))?;
        let connection = self.take()?;
        let job = Arc::new(Job {
            cancelled: AtomicBool::new(false),
            running: Mutex::new(Some(connection.interrupt_handle())),
        });
        let (pool, task) = (Arc::clone(self), Arc::clone(&job));
        let mut guard = CancelOnDrop(Some(job));
        let outcome = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let finish = FinishOnDrop(Arc::clone(&task));
            let outcome = work(&connection, &task.cancelled);
            drop(finish);
            pool.give_back(connection);
            outcome
        })
        .await;
        guard.0 = None;
        outcome.unwrap_or_else(|failure| Err(Error::Worker(failure.to_string())))
    }

    fn take(&self) -> Result<Connection, Error> {
        if let Some(connection) = lock(&self.idle).pop() {
            return Ok(connection);
        }
        let root = lock(&self.root);
        let root = root.as_ref().expect("the root connection lives until the pool is dropped");
        let connection = root.try_clone().map_err(|error| run::sql_error("connect", &error))?;
        connection
            .execute_batch("set TimeZone = 'UTC'")
            .map_err(|error| run::sql_error("set TimeZone", &error))?;
        Ok(connection)
    }

    fn give_back(&self, connection: Connection) {
        lock(&self.idle).push(connection);
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        lock(&self.idle).clear();
        lock(&self.root).take();
        if let Some(path) = &self.path {
            registry::closed(path);
        }
    }
}

struct Job {
    cancelled: AtomicBool,
    /// Empty once the work is done: the connection may serve somebody else by then.
    running: Mutex<Option<Arc<InterruptHandle>>>,
}

impl Job {
    /// False when there is nothing left to interrupt.
    fn interrupt(&self) -> bool {
        match lock(&self.running).as_ref() {
            Some(handle) => {
                handle.interrupt();
                true
            }
            None => false,
        }
    }
}

struct FinishOnDrop(Arc<Job>);

impl Drop for FinishOnDrop {
    fn drop(&mut self) {
        lock(&self.0.running).take();
    }
}

struct CancelOnDrop(Option<Arc<Job>>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        let Some(job) = self.0.take() else { return };
        job.cancelled.store(true, Ordering::SeqCst);
        if !job.interrupt() {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            // Ends with the work itself, which an interrupt always ends.
            runtime.spawn(async move {
                while job.interrupt() {
                    tokio::time::sleep(INTERRUPT_EVERY).await;
                }
            });
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
