//! Signals of a process that serves: the first stop signal stops softly, the second at once.
//!
//! What is ignored is handed on to child processes, what is handled is not. A platform that was started in the background (`nohup ... &`)
//! ignores some signals from its start, and its tasks would then be deaf to their own stop signals. So it handles all of those.

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// What a child of ours may be stopped with.
const OF_CHILDREN: [fn() -> SignalKind; 6] = [
    SignalKind::hangup,
    SignalKind::interrupt,
    SignalKind::quit,
    SignalKind::terminate,
    SignalKind::user_defined1,
    SignalKind::user_defined2,
];

/// Cancelled by SIGINT and SIGTERM, and by SIGHUP (the terminal is gone) unless that was ignored from the start, as `nohup` does it.
///
/// Call it before the first child process is started.
pub fn stop_token() -> anyhow::Result<CancellationToken> {
    let ignored = Ignored::now();
    for kind in OF_CHILDREN.map(|kind| kind()).into_iter().filter(|kind| ignored.has(*kind)) {
        // A handler stays when its stream goes: the signal does nothing here, and children start with its default.
        drop(listen(kind)?);
    }
    let mut hangup = listen(SignalKind::hangup())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    let stays = ignored.has(SignalKind::hangup());
    let token = CancellationToken::new();
    let cancelled = token.clone();
    tokio::spawn(async move {
        let mut wait = async |hangup_counts: bool| {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hangup.recv(), if hangup_counts => {}
            }
        };
        wait(!stays).await;
        tracing::info!("stopping; once more to stop at once");
        cancelled.cancel();
        // A terminal that goes may tell it twice: by itself and by its shell.
        wait(false).await;
        std::process::exit(130);
    });
    Ok(token)
}

fn listen(kind: SignalKind) -> anyhow::Result<Signal> {
    signal(kind).with_context(|| format!("cannot handle signal {}", kind.as_raw_value()))
}

/// The signals that this process was told to ignore by whoever started it.
struct Ignored(u64);

impl Ignored {
    /// As the kernel tells it; where it does not, nothing counts as ignored.
    fn now() -> Ignored {
        Ignored::read(&std::fs::read_to_string("/proc/self/status").unwrap_or_default())
    }

    fn read(status: &str) -> Ignored {
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        Ignored(mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0))
    }

    fn has(&self, kind: SignalKind) -> bool {
        let bit = kind.as_raw_value() - 1;
        u32::try_from(bit).ok().and_then(|bit| self.0.checked_shr(bit)).is_some_and(|mask| mask & 1 == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_read_from_the_kernels_mask() {
        let ignored = Ignored::read("Name:\tx\nSigIgn:\t0000000000001003\n");
        let found = OF_CHILDREN.map(|kind| ignored.has(kind()));
        assert_eq!(found, [true, true, false, false, false, false], "HUP and INT; 13 is none of ours");
        assert!(!Ignored::read("").has(SignalKind::hangup()));
    }
}
