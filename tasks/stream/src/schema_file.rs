//! `schemas/<topic>.yaml` to [`TopicSchema`], with file, line and a hint for every problem.

use std::path::Path;

use model::Problem;
use saphyr::{LoadableYamlNode, MarkedYaml};

use crate::Error;
use crate::schema::{Field, FieldType, TopicSchema};

const EXAMPLE: &str = "write `fields:` with a list of `- { name: ts, type: int, required: true }`";

/// Reads every `*.yaml` of a folder, ordered by topic. All problems of all files are reported at once.
pub fn read_schemas(folder: &Path) -> Result<Vec<TopicSchema>, Error> {
    let unreadable = |error: std::io::Error| {
        let hint = Some("name the folder with one <topic>.yaml for each topic".to_owned());
        Error::Schema(vec![Problem {
            file: folder.display().to_string(),
            line: 0,
            column: 0,
            message: error.to_string(),
            hint,
        }])
    };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
            paths.push(path);
        }
    }
    paths.sort();
    let (mut schemas, mut problems) = (Vec::new(), Vec::new());
    for path in &paths {
        match read_schema(path) {
            Ok(schema) => schemas.push(schema),
            Err(found) => problems.extend(found),
        }
    }
    if paths.is_empty() {
        return Err(unreadable(std::io::Error::other("has no schemas (*.yaml)")));
    }
    if problems.is_empty() { Ok(schemas) } else { Err(Error::Schema(problems)) }
}

fn read_schema(path: &Path) -> Result<TopicSchema, Vec<Problem>> {
    let file = path.display().to_string();
    let topic = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let whole = |message: String, hint: &str| {
        vec![Problem { file: file.clone(), line: 0, column: 0, message, hint: Some(hint.to_owned()) }]
    };
    if !lake::layout::is_topic_name(&topic) {
        return Err(whole(
            format!("`{topic}` is not a topic name"),
            "name the file <topic>.yaml with letters, digits, . _ -",
        ));
    }
    let bytes = std::fs::read(path).map_err(|error| whole(error.to_string(), "make the file readable"))?;
    let text =
        String::from_utf8(bytes).map_err(|error| whole(error.to_string(), "save the file as UTF-8"))?;
    parse_schema(&topic, &file, &text)
}

/// Parses the text of one schema file; `file` is its name in problems.
pub fn parse_schema(topic: &str, file: &str, text: &str) -> Result<TopicSchema, Vec<Problem>> {
    let mut reader = Reader { file, problems: Vec::new() };
    let fields = reader.document(text);
    if !reader.problems.is_empty() {
        return Err(reader.problems);
    }
    TopicSchema::new(topic, fields).map_err(|message| {
        vec![Problem { file: file.to_owned(), line: 0, column: 0, message, hint: Some(EXAMPLE.to_owned()) }]
    })
}

struct Reader<'a> {
    file: &'a str,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn document(&mut self, text: &str) -> Vec<Field> {
        let documents = match MarkedYaml::load_from_str(text) {
            Ok(documents) => documents,
            Err(error) => {
                let at = error.marker();
                self.add(at.line(), at.col() + 1, format!("not YAML: {}", error.info()), EXAMPLE);
                return Vec::new();
            }
        };
        let [document] = documents.as_slice() else {
            self.add(0, 0, "is empty or has several documents".into(), EXAMPLE);
            return Vec::new();
        };
        let Some(entries) = document.data.as_mapping() else {
            self.at(document, "must be a mapping".into(), EXAMPLE);
            return Vec::new();
        };
        let mut fields = Vec::new();
        for (key, value) in entries {
            match (key.data.as_str(), value.data.as_sequence()) {
                (Some("description"), _) => {}
                (Some("fields"), Some(list)) => {
                    fields.extend(list.iter().filter_map(|node| self.field(node)))
                }
                (Some("fields"), None) => self.at(value, "`fields` must be a list".into(), EXAMPLE),
                _ => self.at(key, "unknown key".into(), "a schema has `description` and `fields`"),
            }
        }
        fields
    }

    fn field(&mut self, node: &MarkedYaml<'_>) -> Option<Field> {
        let before = self.problems.len();
        let Some(entries) = node.data.as_mapping() else {
            self.at(node, "a field must be a mapping".into(), EXAMPLE);
            return None;
        };
        let (mut name, mut kind, mut required) = (None, None, false);
        for (key, value) in entries {
            match key.data.as_str() {
                Some("name") => name = value.data.as_str(),
                Some("type") => {
                    kind = value.data.as_str().and_then(FieldType::parse);
                    if kind.is_none() {
                        self.at(value, "unknown type".into(), "types are int, double, string, boolean");
                    }
                }
                Some("required") => match value.data.as_bool() {
                    Some(flag) => required = flag,
                    None => {
                        self.at(value, "`required` must be true or false".into(), "leave it out for false")
                    }
                },
                Some("description") => {}
                _ => self.at(
                    key,
                    "unknown key".into(),
                    "a field has `name`, `type`, `required`, `description`",
                ),
            }
        }
        if self.problems.len() > before {
            return None;
        }
        match (name, kind) {
            (Some(name), Some(kind)) => Some(Field { name: name.to_owned(), kind, required }),
            _ => {
                self.at(node, "a field needs `name` (a string) and `type`".into(), EXAMPLE);
                None
            }
        }
    }

    fn at(&mut self, node: &MarkedYaml<'_>, message: String, hint: &str) {
        self.add(node.span.start.line(), node.span.start.col() + 1, message, hint);
    }

    fn add(&mut self, line: usize, column: usize, message: String, hint: &str) {
        let (file, hint) = (self.file.to_owned(), Some(hint.to_owned()));
        self.problems.push(Problem { file, line, column, message, hint });
    }
}
