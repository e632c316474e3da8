//! One open database a file and process: DuckDB's file lock does not see a second open by the same process.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};

use ::duckdb::Connection;

use super::options::Options;
use super::pool::Pool;
use crate::Error;

static OPEN: Mutex<Option<HashMap<PathBuf, Weak<Pool>>>> = Mutex::new(None);
static CLOSED: Condvar = Condvar::new();

type Table = Option<HashMap<PathBuf, Weak<Pool>>>;

fn table() -> MutexGuard<'static, Table> {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Opens the database, or shares the one that this process has open for the same file.
pub(crate) fn open(options: &Options) -> Result<Arc<Pool>, Error> {
    let Some(path) = &options.path else {
        let connection = Connection::open_in_memory_with_flags(options.config()?)
            .map_err(|error| open_error(Path::new(":memory:"), &error))?;
        return Pool::new(connection, None);
    };
    let path = absolute(path)?;
    let mut open = table();
    loop {
        match open.get_or_insert_with(HashMap::new).get(&path).map(Weak::upgrade) {
            Some(Some(pool)) => return Ok(pool),
            // Its last owner is closing it right now.
            Some(None) => open = CLOSED.wait(open).unwrap_or_else(PoisonError::into_inner),
            None => break,
        }
    }
    let connection =
        Connection::open_with_flags(&path, options.config()?).map_err(|error| open_error(&path, &error))?;
    let pool = Pool::new(connection, Some(path.clone()))?;
    open.get_or_insert_with(HashMap::new).insert(path, Arc::downgrade(&pool));
    Ok(pool)
}

/// Called by the pool once its connections are closed.
pub(super) fn closed(path: &Path) {
    if let Some(open) = table().as_mut() {
        open.remove(path);
    }
    CLOSED.notify_all();
}

fn absolute(path: &Path) -> Result<PathBuf, Error> {
    let fail = |message: String| Error::Open { path: path.to_path_buf(), message };
    let name = path.file_name().ok_or_else(|| fail("not a file name".to_owned()))?;
    let dir = match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    fs::create_dir_all(dir).map_err(|error| fail(format!("cannot create its directory: {error}")))?;
    let dir = fs::canonicalize(dir).map_err(|error| fail(error.to_string()))?;
    Ok(dir.join(name))
}

fn open_error(path: &Path, error: &::duckdb::Error) -> Error {
    let message = error.to_string();
    if message.contains("Could not set lock") {
        let pid = message.split("PID ").nth(1).and_then(|rest| {
            rest.split(|letter: char| !letter.is_ascii_digit()).next().and_then(|digits| digits.parse().ok())
        });
        return Error::Owned { path: path.to_path_buf(), pid };
    }
    Error::Open { path: path.to_path_buf(), message }
}
