//! What the machine lets this process have: open files and memory.

use anyhow::{Result, bail};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// More than any node needs; beyond it some programs that we start become slow, as they close all they could have open.
const OPEN_FILES_MAX: u64 = 65_536;
/// Sockets of pages, connections of the store, and three pipes for each child.
const OPEN_FILES_WANTED: u64 = 4_096;
/// The engine, an embedded warehouse and a streaming job on a small day.
const MEMORY_WANTED: u64 = 512 << 20;

/// The soft limit of open files is for programs that use `select`; a server may have as many as the hard one says.
pub fn raise_open_files() {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return };
    let wanted = raised(soft, hard);
    if wanted > soft
        && let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, wanted, hard)
    {
        tracing::warn!(soft, hard, %error, "the limit of open files could not be raised");
        return;
    }
    if wanted < OPEN_FILES_WANTED {
        tracing::warn!(
            "only {wanted} files may be open at once; {OPEN_FILES_WANTED} are wanted: ulimit -Hn, or LimitNOFILE of its unit"
        );
    }
}

fn raised(soft: u64, hard: u64) -> u64 {
    hard.min(OPEN_FILES_MAX).max(soft)
}

/// For `doctor`.
pub fn open_files() -> Result<String> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let usable = raised(soft, hard);
    if usable < OPEN_FILES_WANTED {
        bail!(
            "a server started from here may have {usable} open files, {OPEN_FILES_WANTED} are wanted: raise ulimit -Hn, or LimitNOFILE of its unit"
        );
    }
    Ok(format!("{usable} may be open at once"))
}

/// For `doctor`: what a container or the machine gives.
pub fn memory() -> Result<String> {
    let Some((bytes, whose)) = memory_limit() else { return Ok("not known here".to_string()) };
    let shown = format!("{} MiB ({whose})", bytes >> 20);
    if bytes < MEMORY_WANTED {
        bail!("{shown}; {} MiB are wanted: give it more, or fewer task_slots", MEMORY_WANTED >> 20);
    }
    Ok(shown)
}

fn memory_limit() -> Option<(u64, &'static str)> {
    let group = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let of_group = group.and_then(|text| text.trim().parse().ok()).map(|bytes| (bytes, "its control group"));
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kilobytes = total.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    let of_machine = kilobytes.map(|kilobytes| (kilobytes * 1024, "the machine"));
    [of_group, of_machine].into_iter().flatten().min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_rises_to_the_hard_one_and_never_falls() {
        assert_eq!(raised(1_024, 524_288), OPEN_FILES_MAX);
        assert_eq!(raised(1_024, 4_096), 4_096);
        assert_eq!(raised(100_000, 524_288), 100_000);
        raise_open_files();
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        assert_eq!(soft, raised(soft, hard), "it is done");
    }
}
