//! The effective configuration: flags over environment over streamify.toml over defaults, each value with its origin.

use crate::cli::Global;
use crate::settings::{SETTINGS, Setting};
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    Default,
    /// Told by the database that nodes share.
    Cluster,
    File(PathBuf, usize),
    Environment(&'static str),
    Flag,
}

#[derive(Debug, Clone)]
struct Entry {
    value: String,
    origin: Origin,
}

#[derive(Debug, Clone)]
pub struct Config {
    entries: BTreeMap<&'static str, Entry>,
    /// `[var]` of the file: `var.*` in templates.
    pub vars: BTreeMap<String, serde_json::Value>,
    /// `[conn]` of the file: `conn.*` in templates.
    pub conns: BTreeMap<String, serde_json::Value>,
    pub json: bool,
}

impl Config {
    pub fn load(global: &Global) -> Result<Config> {
        let environment = |variable: &str| std::env::var(variable).ok();
        let mut config = Self::layered(global.config_file.as_deref(), environment)?;
        config.json = global.json;
        config.flag("data_dir", global.data_dir.as_ref().map(|path| path.display().to_string()));
        config.flag("dags_dir", global.dags_dir.as_ref().map(|path| path.display().to_string()));
        Ok(config)
    }

    fn layered(file: Option<&Path>, environment: impl Fn(&str) -> Option<String>) -> Result<Config> {
        let defaults = SETTINGS.iter().map(|setting| {
            (setting.name, Entry { value: setting.default.to_string(), origin: Origin::Default })
        });
        let mut config = Config {
            entries: defaults.collect(),
            vars: BTreeMap::new(),
            conns: BTreeMap::new(),
            json: false,
        };
        match file {
            Some(file) => config.read_file(file)?,
            None if Path::new("streamify.toml").is_file() => config.read_file(Path::new("streamify.toml"))?,
            None => {}
        }
        for setting in SETTINGS {
            if let Some(value) = environment(setting.variable) {
                config
                    .entries
                    .insert(setting.name, Entry { value, origin: Origin::Environment(setting.variable) });
            }
        }
        Ok(config)
    }

    fn read_file(&mut self, file: &Path) -> Result<()> {
        let text =
            std::fs::read_to_string(file).with_context(|| format!("{}: cannot read", file.display()))?;
        let table: toml::Table =
            text.parse().map_err(|error| anyhow::anyhow!("{}: {error}", file.display()))?;
        for (name, value) in table {
            let line = text
                .lines()
                .position(|line| line.trim_start().trim_start_matches('[').starts_with(&name))
                .map_or(0, |at| at + 1);
            match (name.as_str(), value) {
                ("var", toml::Value::Table(vars)) => self.vars = to_json(vars)?,
                ("conn", toml::Value::Table(conns)) => self.conns = to_json(conns)?,
                (name, value) => {
                    let Some(setting) = SETTINGS.iter().find(|setting| setting.name == name) else {
                        let known =
                            SETTINGS.iter().map(|setting| setting.name).collect::<Vec<_>>().join(", ");
                        bail!(
                            "{}:{line}: unknown setting `{name}`; known: {known}, [var], [conn]",
                            file.display()
                        );
                    };
                    let value = value.as_str().map_or_else(|| value.to_string(), str::to_string);
                    self.entries.insert(
                        setting.name,
                        Entry { value, origin: Origin::File(file.to_path_buf(), line) },
                    );
                }
            }
        }
        Ok(())
    }

    /// A flag of the command at hand.
    pub fn flag(&mut self, name: &'static str, value: Option<String>) {
        if let Some(value) = value {
            self.entries.insert(name, Entry { value, origin: Origin::Flag });
        }
    }

    /// What the shared database says, where nothing here was said.
    pub fn cluster(&mut self, name: &'static str, value: &str) {
        if let Some(entry) = self.entries.get_mut(name).filter(|entry| entry.value.is_empty()) {
            *entry = Entry { value: value.to_string(), origin: Origin::Cluster };
        }
    }

    pub fn text(&self, name: &str) -> &str {
        self.entries.get(name).map_or("", |entry| &entry.value)
    }

    pub fn optional(&self, name: &str) -> Option<&str> {
        Some(self.text(name)).filter(|value| !value.is_empty())
    }

    /// # Errors
    /// Names the setting, its origin and the value that does not parse.
    pub fn parsed<T: FromStr>(&self, name: &'static str) -> Result<T>
    where
        T::Err: std::fmt::Display,
    {
        let entry = &self.entries[name];
        entry
            .value
            .parse()
            .map_err(|error| anyhow::anyhow!("{name} = {:?} ({}): {error}", entry.value, entry.origin))
    }

    pub fn data_dir(&self) -> PathBuf {
        absolute(self.text("data_dir"))
    }

    pub fn dags_dir(&self) -> PathBuf {
        absolute(self.text("dags_dir"))
    }

    /// (setting, shown value, origin) for people.
    pub fn listing(&self) -> Vec<(&'static Setting, String, String)> {
        SETTINGS
            .iter()
            .map(|setting| {
                let entry = &self.entries[setting.name];
                let shown = if setting.secret && !entry.value.is_empty() {
                    "***".to_string()
                } else {
                    entry.value.clone()
                };
                (setting, shown, entry.origin.to_string())
            })
            .collect()
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::Cluster => f.write_str("shared database"),
            Origin::File(file, line) => write!(f, "{}:{line}", file.display()),
            Origin::Environment(variable) => write!(f, "environment {variable}"),
            Origin::Flag => f.write_str("flag"),
        }
    }
}

fn to_json(table: toml::Table) -> Result<BTreeMap<String, serde_json::Value>> {
    table.into_iter().map(|(name, value)| Ok((name, serde_json::to_value(value)?))).collect()
}

fn absolute(path: &str) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| PathBuf::from(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    #[test]
    fn the_environment_wins_over_the_file_and_flags_over_both() {
        let file = file("port = 1\nusers = 7\n");
        let environment = |variable: &str| (variable == "STREAMIFY_PORT").then(|| "2".to_string());
        let mut config = Config::layered(Some(file.path()), environment).unwrap();
        assert_eq!(config.text("port"), "2");
        assert_eq!(config.text("users"), "7");
        assert_eq!(config.text("host"), "127.0.0.1");
        config.flag("port", Some("3".to_string()));
        assert_eq!(config.parsed::<u16>("port").unwrap(), 3);
        let origins: Vec<String> =
            config.listing().into_iter().filter(|row| row.0.name == "users").map(|row| row.2).collect();
        assert!(origins[0].ends_with(":2"), "{origins:?} names file and line");
    }

    #[test]
    fn secrets_are_masked_and_unknown_settings_refused() {
        let environment =
            |variable: &str| (variable == "DATABASE_URL").then(|| "postgres://u:hunter2@h/d".to_string());
        let config = Config::layered(Some(file("").path()), environment).unwrap();
        assert!(config.listing().iter().all(|(_, shown, _)| !shown.contains("hunter2")));
        let error =
            Config::layered(Some(file("port = 1\nprot = 2\n").path()), |_| None).unwrap_err().to_string();
        assert!(error.contains(":2: unknown setting `prot`"), "{error}");
    }

    #[test]
    fn a_value_that_does_not_parse_names_its_origin() {
        let config = Config::layered(Some(file("port = \"many\"").path()), |_| None).unwrap();
        let error = config.parsed::<u16>("port").unwrap_err().to_string();
        assert!(error.contains("port = \"many\"") && error.contains(":1"), "{error}");
    }
}
