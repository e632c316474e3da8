//! `schema.yml`: descriptions, columns, configs, sources, and the tests that are attached to them.

use model::Problem;
use serde_json::Value;

use super::ColumnDoc;
use crate::config::{RawConfig, did_you_mean};
use crate::testing::RawTest;
use crate::yaml::Yaml;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    /// A model or a seed.
    Node(String),
    Source {
        source: String,
        schema: String,
        table: String,
    },
}

pub(super) struct Properties {
    pub(super) subject: Subject,
    pub(super) description: String,
    pub(super) columns: Vec<ColumnDoc>,
    pub(super) config: RawConfig,
    pub(super) tests: Vec<RawTest>,
    /// Where it stands, for problems found later.
    pub(super) place: Problem,
}

const TOP: [&str; 4] = ["version", "models", "seeds", "sources"];
const RELATION: [&str; 9] =
    ["name", "description", "config", "columns", "tests", "data_tests", "meta", "docs", "tags"];
const SOURCE: [&str; 7] = ["name", "schema", "description", "config", "tables", "meta", "tags"];
const COLUMN: [&str; 7] = ["name", "description", "data_type", "tests", "data_tests", "meta", "quote"];

pub(super) fn read(yaml: &Yaml, found: &mut Vec<Properties>, problems: &mut Vec<Problem>) {
    if yaml.value.is_null() {
        return;
    }
    unknown_keys(yaml, "", &TOP, problems);
    for kind in ["models", "seeds"] {
        for (pointer, _) in items(yaml, &format!("/{kind}")) {
            if let Some(name) = name_of(yaml, &pointer, problems) {
                unknown_keys(yaml, &pointer, &RELATION, problems);
                found.push(relation(yaml, &pointer, Subject::Node(name), RawConfig::new(), problems));
            }
        }
    }
    for (pointer, source) in items(yaml, "/sources") {
        let Some(name) = name_of(yaml, &pointer, problems) else { continue };
        unknown_keys(yaml, &pointer, &SOURCE, problems);
        let schema = source.get("schema").and_then(Value::as_str).unwrap_or(&name).to_owned();
        let config = config_of(source);
        for (pointer, _) in items(yaml, &format!("{pointer}/tables")) {
            let Some(table) = name_of(yaml, &pointer, problems) else { continue };
            unknown_keys(yaml, &pointer, &RELATION, problems);
            let subject = Subject::Source { source: name.clone(), schema: schema.clone(), table };
            found.push(relation(yaml, &pointer, subject, config.clone(), problems));
        }
    }
}

fn relation(
    yaml: &Yaml,
    pointer: &str,
    subject: Subject,
    mut config: RawConfig,
    problems: &mut Vec<Problem>,
) -> Properties {
    let value = yaml.value.pointer(pointer).unwrap_or(&Value::Null);
    config.extend(config_of(value));
    let mut tests = tests_of(yaml, pointer, None, problems);
    let mut columns = Vec::new();
    for (pointer, column) in items(yaml, &format!("{pointer}/columns")) {
        let Some(name) = name_of(yaml, &pointer, problems) else { continue };
        unknown_keys(yaml, &pointer, &COLUMN, problems);
        tests.extend(tests_of(yaml, &pointer, Some(&name), problems));
        columns.push(ColumnDoc { name, description: text(column, "description") });
    }
    Properties {
        subject,
        description: text(value, "description"),
        columns,
        config,
        tests,
        place: yaml.problem(pointer, "", None),
    }
}

fn tests_of(yaml: &Yaml, pointer: &str, column: Option<&str>, problems: &mut Vec<Problem>) -> Vec<RawTest> {
    let mut tests = Vec::new();
    for key in ["tests", "data_tests"] {
        for (pointer, item) in items(yaml, &format!("{pointer}/{key}")) {
            let (name, arguments) = match item {
                Value::String(name) => (name.clone(), RawConfig::new()),
                Value::Object(map) if map.len() == 1 => {
                    let (name, arguments) = map.iter().next().expect("one entry");
                    let arguments = arguments.as_object().cloned().unwrap_or_default();
                    (name.clone(), arguments.into_iter().collect())
                }
                _ => {
                    let hint = Some("- not_null, or - accepted_values: { values: [a, b] }".to_owned());
                    problems.push(yaml.problem(&pointer, "not a test", hint));
                    continue;
                }
            };
            tests.push(RawTest {
                name,
                arguments,
                column: column.map(str::to_owned),
                place: yaml.problem(&pointer, "", None),
            });
        }
    }
    tests
}

fn items<'a>(yaml: &'a Yaml, pointer: &str) -> Vec<(String, &'a Value)> {
    let list = yaml.value.pointer(pointer).and_then(Value::as_array);
    list.into_iter().flatten().enumerate().map(|(index, item)| (format!("{pointer}/{index}"), item)).collect()
}

fn name_of(yaml: &Yaml, pointer: &str, problems: &mut Vec<Problem>) -> Option<String> {
    let name = yaml.value.pointer(pointer).and_then(|value| value.get("name")).and_then(Value::as_str);
    if name.is_none() {
        problems.push(yaml.problem(pointer, "an entry without a name", Some("- name: dim_users".to_owned())));
    }
    name.map(str::to_owned)
}

fn unknown_keys(yaml: &Yaml, pointer: &str, known: &[&str], problems: &mut Vec<Problem>) {
    let map = yaml.value.pointer(pointer).and_then(Value::as_object);
    for key in map.into_iter().flat_map(|map| map.keys()).filter(|key| !known.contains(&key.as_str())) {
        let hint = did_you_mean(key, known.iter().copied());
        problems.push(yaml.problem(&format!("{pointer}/{key}"), format!("unknown key `{key}`"), hint));
    }
}

fn config_of(value: &Value) -> RawConfig {
    let map = value.get("config").and_then(Value::as_object).cloned().unwrap_or_default();
    let mut config: RawConfig = map.into_iter().collect();
    if let Some(tags) = value.get("tags") {
        config.entry("tags".to_owned()).or_insert_with(|| tags.clone());
    }
    config
}

fn text(value: &Value, key: &str) -> String {
    value.get(key).and_then(Value::as_str).unwrap_or_default().trim().to_owned()
}
