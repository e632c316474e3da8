//! Rendering: minijinja with dbt's names. Each rendering also tells what the text referred to and configured.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use minijinja::value::{Kwargs, Value};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior, context};
use warehouse::{Dialect, quote_identifier};

use crate::config::RawConfig;

const DBT: &str = include_str!("builtin/dbt.sql");
const DBT_BIGQUERY: &str = include_str!("builtin/dbt_bigquery.sql");
const DBT_UTILS: &str = include_str!("builtin/dbt_utils.sql");

const BUILTINS: &str = "{%- import 'dbt' as dbt -%}{%- import 'dbt_utils' as dbt_utils -%}";

/// A macro file of the project.
#[derive(Clone, Debug)]
pub(crate) struct MacroFile {
    pub(crate) path: String,
    pub(crate) text: String,
    pub(crate) names: Vec<String>,
}

/// What a text said about itself while it was rendered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Captured {
    pub(crate) config: RawConfig,
    pub(crate) refs: BTreeSet<String>,
    /// (source, table)
    pub(crate) sources: BTreeSet<(String, String)>,
}

/// A relation that `ref` or `source` leads to.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) schema: String,
    pub(crate) name: String,
    /// Set where the relation can be read hour by hour.
    pub(crate) event_time: Option<String>,
}

impl Target {
    pub(crate) fn sql(&self) -> String {
        format!("{}.{}", quote_identifier(&self.schema), quote_identifier(&self.name))
    }

    /// What a merge calls the new rows, before they are in the table.
    pub(crate) fn incoming(&self) -> String {
        quote_identifier(&format!("{}__incoming", self.name))
    }
}

/// What a rendering may see.
#[derive(Clone, Default)]
pub(crate) struct Scope {
    /// False while the project is being read: relations need not exist.
    pub(crate) execute: bool,
    pub(crate) this: Option<Target>,
    pub(crate) schema: String,
    pub(crate) refs: Arc<BTreeMap<String, Target>>,
    pub(crate) sources: Arc<BTreeMap<(String, String), Target>>,
    pub(crate) macros: Arc<Vec<MacroFile>>,
    pub(crate) vars: BTreeMap<String, serde_json::Value>,
    pub(crate) incremental: bool,
    pub(crate) full_refresh: bool,
    /// The hours to build or test.
    pub(crate) hours: Option<Vec<DateTime<Utc>>>,
    /// Whether `ref` and `source` are narrowed to the hours by themselves.
    pub(crate) narrow: bool,
    /// Whose functions the macros call.
    pub(crate) dialect: Dialect,
}

pub(crate) fn time_literal(time: DateTime<Utc>) -> String {
    format!("timestamp '{}'", time.format("%Y-%m-%d %H:%M:%S%.f"))
}

/// `column` is in the given hours; ranges come first because they prune.
pub(crate) fn hours_filter(column: &str, hours: &[DateTime<Utc>]) -> String {
    let (Some(first), Some(last)) = (hours.iter().min(), hours.iter().max()) else {
        return "false".to_owned();
    };
    let end = *last + TimeDelta::hours(1);
    let range = format!("{column} >= {} and {column} < {}", time_literal(*first), time_literal(end));
    if (end - *first).num_hours() == hours.len() as i64 {
        return format!("({range})");
    }
    let list: Vec<String> = hours.iter().map(|hour| time_literal(*hour)).collect();
    format!("({range} and {column} in ({}))", list.join(", "))
}

impl Scope {
    fn relation(&self, target: &Target) -> String {
        match (&target.event_time, &self.hours) {
            (Some(column), Some(hours)) if self.narrow => {
                format!(
                    "(select * from {} where {})",
                    target.sql(),
                    hours_filter(&quote_identifier(column), hours)
                )
            }
            _ => target.sql(),
        }
    }

    /// Renders `text`; `name` is what errors call it.
    pub(crate) fn render(&self, name: &str, text: &str) -> Result<(String, Captured), Error> {
        let captured = Arc::new(Mutex::new(Captured::default()));
        let mut env = Environment::new();
        env.set_undefined_behavior(UndefinedBehavior::Strict);
        // Files called .yml would otherwise have their values quoted as JSON.
        env.set_auto_escape_callback(|_| AutoEscape::None);
        env.add_template(
            "dbt",
            match self.dialect {
                Dialect::DuckDb => DBT,
                Dialect::BigQuery => DBT_BIGQUERY,
            },
        )?;
        env.add_template("dbt_utils", DBT_UTILS)?;
        // On one line with the text, so that line numbers stay true.
        let mut head = BUILTINS.to_owned();
        for file in self.macros.iter() {
            env.add_template_owned(file.path.clone(), format!("{BUILTINS}{}", file.text))?;
        }
        for file in self.macros.iter().filter(|file| file.path != name && !file.names.is_empty()) {
            head.push_str(&format!("{{%- from '{}' import {} -%}}", file.path, file.names.join(", ")));
        }
        self.add_references(&mut env, &captured);
        self.add_values(&mut env);
        env.add_template_owned(name.to_owned(), head + text)?;
        let sql = env.get_template(name)?.render(context! {})?;
        drop(env);
        let captured = captured.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok((sql.trim().to_owned(), captured))
    }

    fn add_references(&self, env: &mut Environment<'_>, captured: &Arc<Mutex<Captured>>) {
        let lock = |shared: &Arc<Mutex<Captured>>| Arc::clone(shared);
        let (shared, scope) = (lock(captured), self.clone());
        env.add_function("ref", move |first: String, second: Option<String>| -> Result<Value, Error> {
            let name = second.unwrap_or(first);
            shared.lock().unwrap_or_else(PoisonError::into_inner).refs.insert(name.clone());
            match scope.refs.get(&name) {
                Some(target) => Ok(safe(scope.relation(target))),
                None if !scope.execute => Ok(safe(quote_identifier(&name))),
                None => Err(Error::new(ErrorKind::InvalidOperation, format!("no model or seed `{name}`"))),
            }
        });
        let (shared, scope) = (lock(captured), self.clone());
        env.add_function("source", move |source: String, table: String| -> Result<Value, Error> {
            let key = (source, table);
            shared.lock().unwrap_or_else(PoisonError::into_inner).sources.insert(key.clone());
            match scope.sources.get(&key) {
                Some(target) => Ok(safe(scope.relation(target))),
                None if !scope.execute => Ok(safe(quote_identifier(&key.1))),
                None => {
                    Err(Error::new(ErrorKind::InvalidOperation, format!("no source `{}.{}`", key.0, key.1)))
                }
            }
        });
        let shared = lock(captured);
        env.add_function("config", move |options: Kwargs| -> Result<Value, Error> {
            let mut captured = shared.lock().unwrap_or_else(PoisonError::into_inner);
            for name in options.args() {
                let value: Value = options.get(name)?;
                let json = serde_json::to_value(&value)
                    .map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))?;
                captured.config.insert(name.to_owned(), json);
            }
            Ok(safe(String::new()))
        });
    }

    fn add_values(&self, env: &mut Environment<'_>) {
        let this = self.this.as_ref().map(Target::sql).unwrap_or_default();
        env.add_global("this", safe(this));
        env.add_global("incoming", safe(self.this.as_ref().map(Target::incoming).unwrap_or_default()));
        env.add_global("execute", self.execute);
        env.add_global(
            "target",
            context! { schema => self.schema, name => self.schema, type => self.dialect.name() },
        );
        let (incremental, full_refresh) = (self.incremental, self.full_refresh);
        env.add_function("is_incremental", move || incremental);
        env.add_function("should_full_refresh", move || full_refresh);
        let vars = self.vars.clone();
        env.add_function("var", move |name: String, default: Option<Value>| -> Result<Value, Error> {
            match (vars.get(&name), default) {
                (Some(value), _) => Ok(Value::from_serialize(value)),
                (None, Some(default)) => Ok(default),
                (None, None) => Err(Error::new(
                    ErrorKind::UndefinedError,
                    format!("no var `{name}`; set it in dbt_project.yml or give a default"),
                )),
            }
        });
        env.add_function("env_var", |name: String, default: Option<String>| -> Result<String, Error> {
            std::env::var(&name).ok().or(default).ok_or_else(|| {
                Error::new(
                    ErrorKind::UndefinedError,
                    format!("environment variable {name} is not set and has no default"),
                )
            })
        });
        // While the project is read there are no hours yet: any will do.
        let hours = self.hours.clone().unwrap_or_else(|| vec![DateTime::UNIX_EPOCH]);
        let first = hours.iter().min().copied().unwrap_or_default();
        env.add_function("batch_filter", move |column: String| safe(hours_filter(&column, &hours)));
        env.add_function("batch_start", move || safe(time_literal(first)));
    }
}

/// SQL is never escaped as HTML.
fn safe(text: String) -> Value {
    Value::from_safe_string(text)
}

/// The names of the macros that a file declares.
pub(crate) fn macro_names(text: &str) -> Vec<String> {
    text.split("{%")
        .skip(1)
        .filter_map(|tag| {
            let rest = tag.trim_start_matches('-').trim_start().strip_prefix("macro ")?;
            let name: String = rest
                .trim_start()
                .chars()
                .take_while(|letter| letter.is_alphanumeric() || *letter == '_')
                .collect();
            (!name.is_empty()).then_some(name)
        })
        .collect()
}
