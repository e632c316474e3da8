//! Stop signals: the first one stops softly, the second one at once.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Cancelled by SIGINT or SIGTERM.
pub fn stop_token() -> anyhow::Result<CancellationToken> {
    let token = CancellationToken::new();
    let cancelled = token.clone();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::spawn(async move {
        let mut wait = async || {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        };
        wait().await;
        tracing::info!("stopping; once more to stop at once");
        cancelled.cancel();
        wait().await;
        std::process::exit(130);
    });
    Ok(token)
}
