//! The settings of one database: where it is, and what it may use.

use std::path::{Path, PathBuf};

use ::duckdb::Config;

use crate::Error;

const DEFAULT_MEMORY_LIMIT: &str = "1GB";
const DEFAULT_THREADS: i64 = 2;

pub(crate) struct Options {
    /// `None`: in memory.
    pub(crate) path: Option<PathBuf>,
    memory_limit: String,
    threads: i64,
}

impl Options {
    pub(crate) fn parse(url: &str, rest: &str) -> Result<Self, Error> {
        let fail = |problem: String| Error::Url { url: url.to_owned(), problem };
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let place = place.strip_prefix("//").unwrap_or(place);
        if place.is_empty() {
            return Err(fail("no path; write duckdb:/path/file.duckdb or duckdb::memory:".to_owned()));
        }
        let mut options = Self {
            path: (place != ":memory:").then(|| PathBuf::from(place)),
            memory_limit: DEFAULT_MEMORY_LIMIT.to_owned(),
            threads: DEFAULT_THREADS,
        };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("memory_limit", limit)) if !limit.is_empty() => {
                    limit.clone_into(&mut options.memory_limit)
                }
                Some(("threads", count)) => {
                    options.threads = count
                        .parse()
                        .ok()
                        .filter(|count| (1..=256).contains(count))
                        .ok_or_else(|| fail(format!("threads={count} is not a number from 1 to 256")))?;
                }
                _ => return Err(fail(format!("unknown option `{pair}`; known: memory_limit, threads"))),
            }
        }
        Ok(options)
    }

    pub(crate) fn config(&self) -> Result<Config, Error> {
        // Without a file there is nowhere to spill to: an empty directory turns spilling off.
        let temporary =
            self.path.as_deref().map_or_else(String::new, |path| format!("{}.tmp", path.display()));
        let build = || {
            Config::default()
                .max_memory(&self.memory_limit)?
                .threads(self.threads)?
                .enable_autoload_extension(false)?
                .with("temp_directory", &temporary)
        };
        build().map_err(|error| Error::Open {
            path: self.path.as_deref().unwrap_or_else(|| Path::new(":memory:")).to_path_buf(),
            message: error.to_string(),
        })
    }
}
