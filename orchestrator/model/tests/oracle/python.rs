//! A Python with what the oracle needs, made once and kept in the cache; and the talk with it.

use serde_json::Value;
use std::fmt::Write as _;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const REQUIREMENTS: &str = include_str!("requirements.txt");
const SCRIPT: &str = include_str!("oracle.py");

pub fn seed_of_the_clock() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    since.as_nanos() as u64
}

/// `None`, loudly, where there is none.
pub fn interpreter() -> Option<PathBuf> {
    // zoneinfo must know the same rules: the release of tzdata is that of chrono-tz.
    let year_and_letter =
        REQUIREMENTS.split("tzdata==").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
    let (year, number) = year_and_letter.split_once('.').unwrap();
    let letter = char::from(b'a' + number.parse::<u8>().unwrap() - 1);
    assert_eq!(format!("{year}{letter}"), chrono_tz::IANA_TZDB_VERSION, "pin the tzdata that chrono-tz has");
    match prepared() {
        Ok(python) => Some(python),
        Err(why) => {
            testkit::skip(&format!("no croniter: {why}"), "it needs python3 with venv and PyPI, once");
            None
        }
    }
}

fn prepared() -> Result<PathBuf, String> {
    let folder = cache().join(format!("oracle/{:016x}", digest(REQUIREMENTS)));
    let python = folder.join("bin/python");
    if python.is_file() {
        return Ok(python);
    }
    let work = folder.with_extension(std::process::id().to_string());
    let made = make(&work);
    if made.is_ok() && std::fs::rename(&work, &folder).is_ok() {
        return Ok(python);
    }
    let _ = std::fs::remove_dir_all(&work);
    // Another process may have been faster.
    if python.is_file() {
        Ok(python)
    } else {
        Err(made.err().unwrap_or_else(|| "no folder for it".to_owned()))
    }
}

fn make(folder: &Path) -> Result<(), String> {
    let requirements = folder.join("requirements.txt");
    run(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
    std::fs::write(&requirements, REQUIREMENTS).map_err(|error| error.to_string())?;
    let pip =
        ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes", "--no-deps"];
    let limits = ["--retries", "1", "--timeout", "15", "-r"];
    run(Command::new(folder.join("bin/python")).args(pip).args(limits).arg(requirements))
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    Err(format!("{command:?} failed ({}): {last}", output.status))
}

/// As the Makefile and xtask/setup.sh have it.
fn cache() -> PathBuf {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("STREAMIFY_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|cache| cache.join("streamify")))
        .or_else(|| set("HOME").map(|home| home.join(".cache/streamify")))
        .unwrap_or_else(|| std::env::temp_dir().join("streamify"))
}

/// FNV-1a: a change of the pins is another folder.
fn digest(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

/// One process answers all questions.
pub fn ask(python: &Path, questions: impl Iterator<Item = Value>) -> Vec<Value> {
    let mut input = String::new();
    questions.for_each(|question| writeln!(input, "{question}").unwrap());
    let mut child = Command::new(python)
        .args(["-c", SCRIPT])
        // The rules of the pinned package, not those of this machine.
        .env("PYTHONTZPATH", "")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "the oracle ended with {}", output.status);
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
