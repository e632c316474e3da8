//! Processes of this machine: found by their command line, sent signals.

use anyhow::Result;
use std::process::Command;

/// Processes of which the command line holds all words.
pub fn find(words: &[&str]) -> Vec<String> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
    numbers
        .filter(|pid| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let arguments: Vec<String> = line
                .split(|byte| *byte == 0)
                .map(|part| String::from_utf8_lossy(part).into_owned())
                .collect();
            words.iter().all(|word| arguments.iter().any(|argument| argument == word))
        })
        .collect()
}

/// `signal` as `kill` names it: KILL, STOP, CONT, INT. A process that is gone already is fine.
pub fn signal(pid: &str, signal: &str) -> Result<()> {
    Command::new("kill").args(["-s", signal, pid.trim()]).stderr(std::process::Stdio::null()).status()?;
    Ok(())
}
