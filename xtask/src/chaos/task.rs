//! The program that the tasks of the chaos run: it leaves a trace of each execution, so that one too many is seen.
//!
//! ```text
//! attempts/<id>         made once; an attempt that is executed twice finds it there  -> violations
//! locks/<instance>      held while it runs; says who holds it                        -> overlaps, if another one runs meanwhile
//! done/<instance>       it came to its end; from when to when, in milliseconds since the epoch
//! ```

use anyhow::{Context, Result};
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub const FOLDERS: [&str; 3] = ["attempts", "locks", "done"];

/// `cargo xtask chaos-task <folder> <milliseconds>`, called by a node.
pub fn run(arguments: &[String]) -> Result<()> {
    let [folder, milliseconds] = arguments else { anyhow::bail!("chaos-task <folder> <milliseconds>") };
    let folder = Path::new(folder);
    let told = |name: &str| std::env::var(format!("STREAMIFY_{name}")).with_context(|| format!("no {name}"));
    let attempt = told("ATTEMPT_ID")?;
    let instance =
        format!("{}.{}.{}.{}", told("DAG_ID")?, told("RUN_ID")?, told("TASK_ID")?, told("MAP_INDEX")?);
    let node = told("NODE")?;
    if OpenOptions::new().write(true).create_new(true).open(folder.join("attempts").join(&attempt)).is_err() {
        tell(
            &folder.join("violations"),
            &format!("attempt {attempt} of {instance} is executed again, on {node}"),
        )?;
    }
    let path = folder.join("locks").join(&instance);
    let lock = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path)?;
    if lock.try_lock().is_err() {
        let holder = std::fs::read_to_string(&path).unwrap_or_default();
        tell(
            &folder.join("overlaps"),
            &format!("{}\t{holder}\tattempt {attempt} on {node}\t{instance}", seconds()),
        )?;
        lock.lock()?;
    }
    lock.set_len(0)?;
    (&lock).write_all(node.as_bytes())?;
    println!("attempt {attempt} begins");
    let began = milliseconds_now();
    std::thread::sleep(Duration::from_millis(milliseconds.parse()?));
    std::fs::write(folder.join("done").join(&instance), format!("{began} {}", milliseconds_now()))?;
    println!("attempt {attempt} is done");
    Ok(())
}

fn tell(file: &Path, line: &str) -> Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(file)?;
    writeln!(file, "{line}")?;
    Ok(())
}

pub fn seconds() -> u64 {
    milliseconds_now() / 1000
}

fn milliseconds_now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
