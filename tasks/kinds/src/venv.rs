//! Virtual environments of `python`: one for each interpreter and list of requirements, made at first use and kept.
//!
//! One is complete when its mark is there; what a crash left without it is made anew. A lock file keeps two attempts, of this or another
//! process, from making the same one.

use crate::child;
use crate::env::Env;
use model::task::Stream;
use model::{TaskContext, TaskError};
use sha2::{Digest, Sha256};
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

const MARK: &str = "complete";
/// Another attempt that makes the same one is waited for.
const LOCK_LOOK_EVERY: Duration = Duration::from_millis(200);
const WHO_ARE_YOU: &str = "import sys; print(sys.executable); print(sys.version)";

pub enum Requirements {
    /// As in a requirements file.
    Lines(Vec<String>),
    File(PathBuf),
}

impl Requirements {
    fn text(&self) -> Result<String, TaskError> {
        match self {
            Requirements::Lines(lines) => Ok(lines.join("\n")),
            Requirements::File(path) => std::fs::read_to_string(path)
                .map_err(|error| TaskError::Fail(format!("{}: {error}", path.display()))),
        }
    }
}

/// The folder of the environment with these requirements, made if it is not there yet.
pub async fn folder(
    ctx: &TaskContext,
    env: &Env,
    python: &str,
    requirements: &Requirements,
) -> Result<PathBuf, TaskError> {
    let text = requirements.text()?;
    let identity = identity(ctx, env, python).await?;
    let digest = Sha256::digest(format!("{identity}\n{text}"));
    let name: String = digest.iter().take(12).map(|byte| format!("{byte:02x}")).collect();
    let folder = env.venvs_dir.join(&name);
    if folder.join(MARK).is_file() {
        return Ok(folder);
    }
    std::fs::create_dir_all(&env.venvs_dir).map_err(|error| failed(&env.venvs_dir, &error))?;
    let _lock = lock(ctx, &env.venvs_dir.join(format!("{name}.lock"))).await?;
    if !folder.join(MARK).is_file() {
        make(ctx, env, python, requirements, &folder, !text.trim().is_empty()).await?;
    }
    Ok(folder)
}

/// Which interpreter it is: another version needs other packages.
async fn identity(ctx: &TaskContext, env: &Env, python: &str) -> Result<String, TaskError> {
    let mut command = child::command(Path::new(python));
    command.args(["-c", WHO_ARE_YOU]).env_remove("PYTHONPATH");
    let mut told = String::new();
    let ended = child::run(command, ctx, env, |stream, line| match stream {
        Stream::Stdout => told.push_str(&format!("{line}\n")),
        _ => ctx.sink.log(stream, line),
    })
    .await?;
    child::judge(&ended, python)?;
    Ok(told)
}

async fn make(
    ctx: &TaskContext,
    env: &Env,
    python: &str,
    requirements: &Requirements,
    folder: &Path,
    has_requirements: bool,
) -> Result<(), TaskError> {
    ctx.sink.log(Stream::System, format!("making a virtual environment in {}", folder.display()));
    if folder.exists() {
        std::fs::remove_dir_all(folder).map_err(|error| failed(folder, &error))?;
    }
    let mut venv = child::command(Path::new(python));
    venv.args(["-m", "venv"]).args((!has_requirements).then_some("--without-pip")).arg(folder);
    step(venv, ctx, env, "python -m venv").await?;
    if has_requirements {
        let list = match requirements {
            Requirements::File(path) => path.clone(),
            Requirements::Lines(lines) => {
                let list = folder.join("requirements.txt");
                std::fs::write(&list, lines.join("\n")).map_err(|error| failed(&list, &error))?;
                list
            }
        };
        let mut pip = child::command(&folder.join("bin/python"));
        pip.args(["-m", "pip", "install", "--no-input", "--disable-pip-version-check", "-r"]).arg(list);
        pip.current_dir(&env.dags_dir);
        step(pip, ctx, env, "pip install").await?;
    }
    let mark = folder.join(MARK);
    std::fs::write(&mark, "").map_err(|error| failed(&mark, &error))
}

async fn step(
    mut command: tokio::process::Command,
    ctx: &TaskContext,
    env: &Env,
    name: &str,
) -> Result<(), TaskError> {
    command.env_remove("PYTHONPATH");
    let ended = child::run(command, ctx, env, |stream, line| ctx.sink.log(stream, line)).await?;
    match child::judge(&ended, name)? {
        true => Ok(()),
        false => Err(TaskError::Retry(format!("{name} ended with exit status 99"))),
    }
}

/// Held as long as the file is open; a process that dies lets go.
async fn lock(ctx: &TaskContext, path: &Path) -> Result<File, TaskError> {
    let file = File::create(path).map_err(|error| failed(path, &error))?;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(failed(path, &error)),
        }
        tokio::select! {
            () = tokio::time::sleep(LOCK_LOOK_EVERY) => {}
            () = ctx.cancel.cancelled() => return Err(TaskError::Cancelled),
        }
    }
}

fn failed(path: &Path, error: &std::io::Error) -> TaskError {
    TaskError::Retry(format!("{}: {error}", path.display()))
}
