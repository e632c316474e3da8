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
        config.flag("log_format", global.log_format.clone());
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
            let said = environment(setting.variable);
            if let Some(file) = environment(&format!("{}_FILE", setting.variable)).filter(|_| setting.secret)
            {
                if said.is_some() {
                    bail!("{0} and {0}_FILE are both set: keep one of them", setting.variable);
                }
                let value =
                    secret_of(Path::new(&file)).with_context(|| format!("{}_FILE", setting.variable))?;
                config
                    .entries
                    .insert(setting.name, Entry { value, origin: Origin::File(PathBuf::from(file), 1) });
            }
            if let Some(value) = said {
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

    /// Whether a flag, the environment or a file has said it.
    pub fn is_said(&self, name: &str) -> bool {
        self.entries.get(name).is_some_and(|entry| !matches!(entry.origin, Origin::Default | Origin::Cluster))
    }

    /// By the name of its variable; none if it is empty.
    pub fn variable(&self, variable: &str) -> Option<String> {
        let setting = SETTINGS.iter().find(|setting| setting.variable == variable)?;
        self.optional(setting.name).map(str::to_string)
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

    /// Words with commas between them.
    ///
    /// # Errors
    /// Names the setting if there is no word in it.
    pub fn words(&self, name: &'static str) -> Result<Vec<String>> {
        let entry = &self.entries[name];
        let words = entry.value.split(',').map(str::trim).filter(|word| !word.is_empty());
        let words: Vec<String> = words.map(str::to_string).collect();
        if words.is_empty() {
            bail!(
                "{name} = {:?} ({}): name at least one, with commas between them",
                entry.value,
                entry.origin
            );
        }
        Ok(words)
    }

    pub fn data_dir(&self) -> PathBuf {
        absolute(self.text("data_dir"))
    }

    pub fn dags_dir(&self) -> PathBuf {
        absolute(self.text("dags_dir"))
    }

    /// The values that nobody may see.
    pub fn secrets(&self) -> Vec<String> {
        let secret = SETTINGS.iter().filter(|setting| setting.secret);
        secret.filter_map(|setting| self.optional(setting.name)).map(str::to_string).collect()
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

/// A file that holds one secret, as containers are given them; the newline at its end is not part of it.
fn secret_of(file: &Path) -> Result<String> {
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("{}: cannot read the secret", file.display()))?;
    let secret = text.trim_end_matches(['\r', '\n']);
    if secret.is_empty() || secret.contains('\n') {
        bail!("{}: expected one line, the secret", file.display());
    }
    Ok(secret.to_string())
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
    fn a_secret_may_lie_in_a_file_and_only_in_one_place() {
        let secret = file("postgres://u:hunter2@h/d\n");
        let path = secret.path().display().to_string();
        let in_file = |variable: &str| (variable == "DATABASE_URL_FILE").then(|| path.clone());
        let config = Config::layered(Some(file("").path()), in_file).unwrap();
        assert_eq!(config.text("database_url"), "postgres://u:hunter2@h/d");
        assert!(config.listing().iter().all(|(_, shown, _)| !shown.contains("hunter2")));

        let twice = |variable: &str| variable.starts_with("DATABASE_URL").then(|| path.clone());
        let error = Config::layered(Some(file("").path()), twice).unwrap_err().to_string();
        assert!(error.contains("DATABASE_URL_FILE are both set"), "{error}");

        let empty = file("\n");
        let path = empty.path().display().to_string();
        let nothing = |variable: &str| (variable == "DATABASE_URL_FILE").then(|| path.clone());
        let error = format!("{:#}", Config::layered(Some(file("").path()), nothing).unwrap_err());
        assert!(error.contains("DATABASE_URL_FILE") && error.contains("expected one line"), "{error}");

        let no_secret = |variable: &str| (variable == "STREAMIFY_PORT_FILE").then(|| path.clone());
        assert_eq!(Config::layered(Some(file("").path()), no_secret).unwrap().text("port"), "8080");
    }

    #[test]
    fn words_are_split_at_commas_and_never_none() {
        let queues = |value: &str| {
            let mut config = Config::layered(Some(file("").path()), |_| None).unwrap();
            config.flag("queues", Some(value.to_string()));
            config.words("queues").map_err(|error| error.to_string())
        };
        assert_eq!(queues("default, heavy,"), Ok(vec!["default".to_string(), "heavy".to_string()]));
        assert!(queues(" , ").unwrap_err().contains("queues"));
    }

    #[test]
    fn a_value_that_does_not_parse_names_its_origin() {
        let config = Config::layered(Some(file("port = \"many\"").path()), |_| None).unwrap();
        let error = config.parsed::<u16>("port").unwrap_err().to_string();
        assert!(error.contains("port = \"many\"") && error.contains(":1"), "{error}");
    }
}
