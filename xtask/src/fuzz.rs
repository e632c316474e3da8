//! `cargo xtask fuzz [seconds]`: every parser of foreign input, longer than in the tests. The targets are the tests named `fuzz_*`, beside
//! what they attack; how inputs are made stands in `testkit::fuzz`.

use crate::ci::cargo_with;
use anyhow::{Result, bail};
use std::path::Path;

const SECONDS: u64 = 60;

pub fn run(root: &Path, arguments: &[String]) -> Result<()> {
    let seconds = match arguments.first().map(|text| text.parse::<u64>()) {
        None => SECONDS,
        Some(Ok(seconds)) => seconds,
        Some(Err(error)) => bail!("{:?}: {error}; how many seconds for each target?", arguments[0]),
    };
    let seed = std::env::var("FUZZ_SEED").unwrap_or_else(|_| format!("{}", std::process::id()));
    eprintln!("fuzz: {seconds} s for each target, FUZZ_SEED={seed}");
    let told = [("FUZZ_SECONDS", seconds.to_string()), ("FUZZ_SEED", seed)];
    // One after the other: each target's time is its own. What hangs is ended by whoever runs this.
    let search = |what: &[&str]| {
        let arguments =
            [&["test", "--workspace"], what, &["fuzz_", "--", "--nocapture", "--test-threads=1"]].concat();
        cargo_with(root, &arguments, &told)
    };
    search(&["--lib"])?;
    search(&["--test", "it"])
}
