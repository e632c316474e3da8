//! The shapes that are measured, as DAG files.

use anyhow::Result;
use std::fmt::Write;
use std::path::Path;

const HEAD: &str = "max_active_runs: 20000\nmax_active_tasks: 100000\ntasks:\n";

pub fn chain(id: &str, tasks: usize, uses: &str) -> String {
    let mut text = format!("dag: {id}\n{HEAD}");
    for number in 0..tasks {
        let needs = number.checked_sub(1).map_or_else(String::new, |before| format!("needs: [t{before}], "));
        let _ = writeln!(text, "  t{number}: {{ {needs}{uses} }}");
    }
    text
}

/// Layers of tasks, each with a joint before it that the whole layer before has to pass.
pub fn layers(id: &str, layers: usize, width: usize) -> String {
    let mut text = format!("dag: {id}\n{HEAD}");
    for layer in 0..layers {
        let needs = if layer == 0 { String::new() } else { format!("needs: [joint{layer}], ") };
        if layer > 0 {
            let before: Vec<String> = (0..width).map(|number| format!("l{}n{number}", layer - 1)).collect();
            let _ = writeln!(text, "  joint{layer}: {{ needs: [{}], uses: empty }}", before.join(", "));
        }
        for number in 0..width {
            let _ = writeln!(text, "  l{layer}n{number}: {{ {needs}uses: empty }}");
        }
    }
    text
}

pub fn wide(id: &str, tasks: usize) -> String {
    wide_of(id, tasks, "uses: empty")
}

pub fn wide_of(id: &str, tasks: usize, uses: &str) -> String {
    let mut text = format!("dag: {id}\n{HEAD}");
    for number in 0..tasks {
        let _ = writeln!(text, "  t{number}: {{ {uses} }}");
    }
    text
}

pub fn write(folder: &Path, id: &str, text: &str) -> Result<()> {
    // Complete at once: a half-written file would be read as it is.
    let draft = folder.join(format!(".{id}.draft"));
    std::fs::write(&draft, text)?;
    std::fs::rename(draft, folder.join(format!("{id}.yaml")))?;
    Ok(())
}
