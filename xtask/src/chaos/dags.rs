//! The load: dags that fire every few seconds and leave traces.

use anyhow::{Context, Result};
use std::path::Path;

/// A dag's id and the seconds between two ticks.
pub const DAGS: [(&str, u64); 3] = [("chain", 2), ("mapped", 5), ("single", 3)];
/// The one that never runs twice at once.
pub const SINGLE: &str = "single";
/// The pool of the mapped tasks.
pub const POOL: (&str, u32) = ("narrow", 3);

pub fn write(folder: &Path, traces: &Path) -> Result<()> {
    // A copy: cargo may replace this program while its tasks run, as in the steps of CI before. /proc leads to it all the same.
    let program = traces.join("xtask");
    std::fs::copy("/proc/self/exe", &program).context("this program cannot be copied")?;
    let task = |milliseconds: u64| {
        format!(
            "uses: process, with: {{ command: [{:?}, chaos-task, {:?}, \"{milliseconds}\"] }}",
            program.display().to_string(),
            traces.display().to_string()
        )
    };
    let head = |(id, every): (&str, u64), more: &str| {
        format!(
            "dag: {id}\nschedule: {{ every: {every}s }}\ncatchup: all\n{more}\
             defaults: {{ retries: {{ limit: 50, delay: 200ms, backoff: 1 }}, timeout: 60s }}\ntasks:\n"
        )
    };
    let chain = format!(
        "{}  first: {{ {} }}\n  left: {{ needs: [first], {} }}\n  right: {{ needs: [first], {} }}\n  last: {{ needs: [left, right], {} }}\n",
        head(DAGS[0], "max_active_runs: 4\n"),
        task(50),
        task(300),
        task(10),
        task(700)
    );
    let mapped = format!(
        "{}  piece: {{ for_each: [1, 2, 3, 4, 5, 6, 7, 8], pool: {}, {} }}\n  whole: {{ needs: [piece], {} }}\n",
        head(DAGS[1], "max_active_runs: 2\n"),
        POOL.0,
        task(400),
        task(20)
    );
    let single = format!(
        "{}  long: {{ {} }}\n  short: {{ needs: [long], {} }}\n",
        head(DAGS[2], "max_active_runs: 1\n"),
        task(1500),
        task(5)
    );
    for ((id, _), text) in DAGS.iter().zip([chain, mapped, single]) {
        std::fs::write(folder.join(format!("{id}.yaml")), text)?;
    }
    Ok(())
}
