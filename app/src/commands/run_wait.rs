//! `--wait`: until a run has ended. What becomes of it meanwhile, and what it waits for, is told on standard error.

use super::run_show;
use anyhow::{Context, Result};
use model::RunState;
use std::time::Duration;
use store::Store;
use tokio::time::{Instant, timeout_at};

/// The exit status when the time is over, as of timeout(1).
pub const TIMED_OUT: u8 = 124;
/// A lost notification costs at most this; nothing is told more often.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How the run ended; `None` if it has not within the time.
pub async fn until_end(
    store: &Store,
    dag: &str,
    run_id: &str,
    timeout: Option<Duration>,
) -> Result<Option<RunState>> {
    let until = timeout.map(|timeout| Instant::now() + timeout);
    let mut bell = store.listen().await?;
    let (mut told, mut tell_at) = (String::new(), Instant::now());
    loop {
        let run = store.run(dag, run_id).await?.with_context(|| format!("{dag}/{run_id} is gone"))?;
        if run.state.is_final() {
            return Ok(Some(run.state));
        }
        let now = Instant::now();
        if now >= tell_at {
            let words = run_show::standing(store, dag, run_id).await?;
            if words != told {
                eprintln!("{words}");
                told = words;
            }
            tell_at = now + LOOK_EVERY;
        }
        if until.is_some_and(|until| now >= until) {
            return Ok(None);
        }
        let look = now + LOOK_EVERY;
        // Whether it rang or the time came: the run is looked at.
        timeout_at(until.map_or(look, |until| until.min(look)), bell.next()).await.ok();
    }
}
