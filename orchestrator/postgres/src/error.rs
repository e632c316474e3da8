//! What can go wrong, and what to do about it.

use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "no PostgreSQL server (15 or newer) found in PATH or /usr/lib/postgresql; install it (`apt-get install postgresql`) or set DATABASE_URL"
    )]
    NotInstalled,
    #[error(
        "PostgreSQL refuses to run as root and there is no user `postgres` to run it as; install Debian's `postgresql` package or set DATABASE_URL"
    )]
    NoAccount,
    #[error("{path}: {action}: {source}")]
    Io { path: PathBuf, action: &'static str, source: std::io::Error },
    #[error("{program} failed ({status}): {output}")]
    Program { program: &'static str, status: String, output: String },
    #[error("PostgreSQL did not become ready within {seconds} s; the end of {log}:\n{tail}", log = log.display())]
    NotReady { seconds: u64, log: PathBuf, tail: String },
    #[error("the PostgreSQL cluster in {path} has version {found}, the installed server is {installed}; install version {found} or start over with `--fresh`", path = path.display())]
    Version { path: PathBuf, found: String, installed: String },
}

impl Error {
    pub(crate) fn io(path: &std::path::Path, action: &'static str) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.to_path_buf();
        move |source| Error::Io { path, action, source }
    }
}
