//! A compose file as its rules see it: services with merges (`<<`) resolved.
//!
//! Not here: interpolation and defaults of Compose, which its own checker knows.

use anyhow::{Context, Result, bail};
use saphyr::{LoadableYamlNode, Yaml};
use serde_json::{Map, Value};

pub struct File {
    root: Value,
}

pub struct Service<'a> {
    pub name: &'a str,
    body: &'a Value,
}

impl File {
    pub fn parse(text: &str) -> Result<File> {
        let documents = Yaml::load_from_str(text)?;
        let [document] = documents.as_slice() else { bail!("expected one document") };
        let root = plain(document)?;
        root.get("services").and_then(Value::as_object).context("no services")?;
        Ok(File { root })
    }

    pub fn services(&self) -> Vec<Service<'_>> {
        let services = self.root.get("services").and_then(Value::as_object).into_iter().flatten();
        services.map(|(name, body)| Service { name, body }).collect()
    }

    pub fn networks(&self) -> Vec<(&str, bool)> {
        let networks = self.root.get("networks").and_then(Value::as_object).into_iter().flatten();
        networks
            .map(|(name, body)| (name.as_str(), body.get("internal").and_then(Value::as_bool) == Some(true)))
            .collect()
    }
}

impl Service<'_> {
    pub fn at(&self, path: &str) -> Option<&Value> {
        self.body.pointer(path)
    }

    pub fn text(&self, path: &str) -> &str {
        self.at(path).and_then(Value::as_str).unwrap_or_default()
    }

    pub fn is(&self, path: &str) -> bool {
        self.at(path).and_then(Value::as_bool) == Some(true)
    }

    /// The texts of a list.
    pub fn list(&self, path: &str) -> Vec<&str> {
        self.at(path).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
    }

    /// The entries of a mapping.
    pub fn entries(&self, path: &str) -> Vec<(&str, &Value)> {
        let map = self.at(path).and_then(Value::as_object).into_iter().flatten();
        map.map(|(name, value)| (name.as_str(), value)).collect()
    }

    /// (service, condition) of what it waits for.
    pub fn waits_for(&self) -> Vec<(&str, &str)> {
        let mut waits: Vec<(&str, &str)> =
            self.list("/depends_on").into_iter().map(|name| (name, "service_started")).collect();
        for (name, body) in self.entries("/depends_on") {
            let condition = body.get("condition").and_then(Value::as_str);
            waits.push((name, condition.unwrap_or("service_started")));
        }
        waits
    }
}

fn plain(node: &Yaml<'_>) -> Result<Value> {
    if let Some(mapping) = node.as_mapping() {
        let mut map = Map::new();
        for (key, value) in mapping {
            let key = key.as_str().context("a key is no text")?;
            let value = plain(value)?;
            if key == "<<" {
                merge(&mut map, value)?;
            } else {
                map.insert(key.to_string(), value);
            }
        }
        return Ok(Value::Object(map));
    }
    if let Some(sequence) = node.as_sequence() {
        return Ok(Value::Array(sequence.iter().map(plain).collect::<Result<_>>()?));
    }
    if let Some(text) = node.as_str() {
        return Ok(Value::String(text.to_string()));
    }
    if let Some(flag) = node.as_bool() {
        return Ok(Value::Bool(flag));
    }
    if let Some(number) = node.as_integer() {
        return Ok(Value::from(number));
    }
    if node.is_null() {
        return Ok(Value::Null);
    }
    bail!("a value that is neither text, number, flag, list nor mapping")
}

/// What is there wins over what is merged in; our files merge first, so it is overwritten later.
fn merge(map: &mut Map<String, Value>, merged: Value) -> Result<()> {
    let Value::Object(merged) = merged else { bail!("`<<` wants a mapping") };
    for (key, value) in merged {
        map.entry(key).or_insert(value);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merges_are_resolved_and_own_values_win() {
        let text = "x-base: &base { read_only: true, user: a }\nservices:\n  one: { <<: *base, user: b, depends_on: { two: { condition: service_healthy } } }\n  two: { <<: *base }\n";
        let file = File::parse(text).unwrap();
        let services = file.services();
        assert_eq!(services.len(), 2);
        assert!(services[0].is("/read_only") && services[0].text("/user") == "b");
        assert_eq!(services[0].waits_for(), [("two", "service_healthy")]);
        assert_eq!(services[1].text("/user"), "a");
        assert!(File::parse("volumes: {}").is_err());
    }
}
