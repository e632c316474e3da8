//! Questions to Postgres by its own client: independent of the code that is judged or measured.

use anyhow::{Context, Result, bail};
use std::process::Command;

pub struct Psql {
    pub url: String,
    pub port: u16,
}

impl Psql {
    pub fn new(url: &str) -> Result<Psql> {
        let port = url.rsplit_once(':').and_then(|(_, rest)| rest.split_once('/')).context("a port")?.0;
        Ok(Psql { url: url.to_string(), port: port.parse()? })
    }

    /// The rows of a query, columns separated by tabs.
    pub fn ask(&self, query: &str) -> Result<Vec<String>> {
        let output = Command::new("psql")
            .args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--field-separator", "\t"])
            .args(["--set", "ON_ERROR_STOP=1", "--command", query, &self.url])
            .env("PGCONNECT_TIMEOUT", "3")
            .output()
            .context("cannot start psql")?;
        if !output.status.success() {
            bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
        }
        let text = String::from_utf8(output.stdout)?;
        Ok(text.lines().filter(|line| !line.is_empty()).map(str::to_string).collect())
    }

    /// The only figure of a query's only row.
    pub fn figure(&self, query: &str) -> Result<f64> {
        let rows = self.ask(query)?;
        let row = rows.first().with_context(|| format!("no row: {query}"))?;
        row.trim().parse().with_context(|| format!("{row:?} is no number: {query}"))
    }
}
