//! YAML as JSON values that remember where they stood, so that every problem names its line.

use std::collections::BTreeMap;

use model::Problem;
use saphyr::{LoadableYamlNode, MarkedYaml, Scalar, YamlData};
use serde_json::{Map, Value};

pub(crate) struct Yaml {
    pub(crate) file: String,
    pub(crate) value: Value,
    /// By JSON pointer.
    positions: BTreeMap<String, (usize, usize)>,
}

impl Yaml {
    pub(crate) fn parse(file: &str, text: &str) -> Result<Self, Problem> {
        let documents = MarkedYaml::load_from_str(text).map_err(|error| Problem {
            file: file.to_owned(),
            line: error.marker().line(),
            column: error.marker().col() + 1,
            message: format!("not valid YAML: {}", error.info()),
            hint: None,
        })?;
        let mut yaml = Self { file: file.to_owned(), value: Value::Null, positions: BTreeMap::new() };
        if let Some(document) = documents.first() {
            yaml.value = yaml.convert(document, "");
        }
        Ok(yaml)
    }

    pub(crate) fn problem(&self, pointer: &str, message: impl Into<String>, hint: Option<String>) -> Problem {
        let mut place = pointer;
        let (line, column) = loop {
            if let Some(position) = self.positions.get(place) {
                break *position;
            }
            match place.rsplit_once('/') {
                Some((parent, _)) => place = parent,
                None => break (0, 0),
            }
        };
        Problem { file: self.file.clone(), line, column, message: message.into(), hint }
    }

    fn convert(&mut self, node: &MarkedYaml<'_>, pointer: &str) -> Value {
        self.positions.insert(pointer.to_owned(), (node.span.start.line(), node.span.start.col() + 1));
        match &node.data {
            YamlData::Value(scalar) => convert_scalar(scalar),
            YamlData::Sequence(items) => items
                .iter()
                .enumerate()
                .map(|(index, item)| self.convert(item, &format!("{pointer}/{index}")))
                .collect(),
            YamlData::Mapping(entries) => {
                let mut map = Map::new();
                for (key, value) in entries {
                    let name = match &key.data {
                        YamlData::Value(scalar) => match convert_scalar(scalar) {
                            Value::String(text) => text,
                            other => other.to_string(),
                        },
                        _ => continue,
                    };
                    let place = format!("{pointer}/{name}");
                    let value = self.convert(value, &place);
                    // A key's own line is where a person looks, not the block below it.
                    self.positions.insert(place, (key.span.start.line(), key.span.start.col() + 1));
                    map.insert(name, value);
                }
                Value::Object(map)
            }
            YamlData::Tagged(_, inner) => self.convert(inner, pointer),
            YamlData::Representation(text, ..) => Value::String(text.to_string()),
            _ => Value::Null,
        }
    }
}

fn convert_scalar(scalar: &Scalar<'_>) -> Value {
    match scalar {
        Scalar::Null => Value::Null,
        Scalar::Boolean(flag) => Value::from(*flag),
        Scalar::Integer(number) => Value::from(*number),
        Scalar::FloatingPoint(number) => Value::from(number.into_inner()),
        Scalar::String(text) => Value::from(text.as_ref()),
    }
}
