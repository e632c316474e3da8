//! Processes that an earlier life of this node left behind: grandchildren outlive a `kill -9` of the node.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// In the environment of each child, and so of its children.
pub const NODE_VARIABLE: &str = "STREAMIFY_NODE";

/// Ends every process that carries this node's mark; returns how many. Called before a node's worker starts.
pub fn end_orphans(node: &str) -> usize {
    let mark = format!("{NODE_VARIABLE}={node}");
    let own = std::process::id();
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let marked =
        processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()).filter(|pid| {
            let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            *pid != own && environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
        });
    marked.filter(|pid| kill(Pid::from_raw(*pid as i32), Signal::SIGKILL).is_ok()).count()
}
