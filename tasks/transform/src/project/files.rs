//! Reading a project's folder: which files there are and what they say, not yet what they mean.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use model::Problem;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::properties::{self, Properties};
use super::seed::Seed;
use crate::config::{RawConfig, did_you_mean};
use crate::jinja::{MacroFile, macro_names};
use crate::yaml::Yaml;

/// Deeper folders are not looked into.
const MAX_DEPTH: usize = 8;

pub(super) struct TextFile {
    /// Relative to the project, with `/`.
    pub(super) path: String,
    pub(super) text: String,
}

impl TextFile {
    pub(super) fn stem(&self) -> &str {
        let name = self.path.rsplit('/').next().unwrap_or(&self.path);
        name.rsplit_once('.').map_or(name, |(stem, _)| stem)
    }
}

pub(super) struct Files {
    pub(super) name: String,
    pub(super) models: Vec<TextFile>,
    pub(super) tests: Vec<TextFile>,
    pub(super) seeds: Vec<Seed>,
    pub(super) macros: Vec<MacroFile>,
    pub(super) properties: Vec<Properties>,
    pub(super) vars: BTreeMap<String, Value>,
    /// `+key` words of dbt_project.yml by folder below models/.
    folder_configs: Vec<(String, RawConfig)>,
    pub(super) digest: String,
}

impl Files {
    /// The configs that dbt_project.yml gives a model, outer folders first.
    pub(super) fn folder_config(&self, path: &str) -> RawConfig {
        let mut config = RawConfig::new();
        for (folder, words) in &self.folder_configs {
            if folder.is_empty() || path.starts_with(&format!("models/{folder}/")) {
                config.extend(words.clone());
            }
        }
        config
    }
}

/// The files that could be read, and what is wrong with the others; without a project file there is nothing to go on with.
pub(super) fn read(dir: &Path) -> Result<(Files, Vec<Problem>), Vec<Problem>> {
    let mut problems = Vec::new();
    let mut found = Vec::new();
    for folder in ["models", "seeds", "macros", "tests"] {
        if let Err(problem) = walk(dir, &dir.join(folder), 0, &mut found) {
            problems.push(problem);
        }
    }
    found.sort_by(|left, right| left.path.cmp(&right.path));
    let project = match fs::read_to_string(dir.join(PROJECT)) {
        Ok(text) => TextFile { path: PROJECT.to_owned(), text },
        Err(error) => {
            problems.push(whole_file(
                &dir.join(PROJECT).display().to_string(),
                &format!("cannot be read: {error}"),
            ));
            return Err(problems);
        }
    };
    let mut files = Files {
        name: String::new(),
        models: Vec::new(),
        tests: Vec::new(),
        seeds: Vec::new(),
        macros: Vec::new(),
        properties: Vec::new(),
        vars: BTreeMap::new(),
        folder_configs: Vec::new(),
        digest: digest(found.iter().chain([&project])),
    };
    match Yaml::parse(PROJECT, &project.text) {
        Ok(yaml) => read_project(&yaml, &mut files, &mut problems),
        Err(problem) => problems.push(problem),
    }
    for file in found {
        sort_in(file, &mut files, &mut problems);
    }
    Ok((files, problems))
}

const PROJECT: &str = "dbt_project.yml";

fn sort_in(file: TextFile, files: &mut Files, problems: &mut Vec<Problem>) {
    let (folder, _) = file.path.split_once('/').unwrap_or_default();
    let extension = file.path.rsplit_once('.').map_or("", |(_, extension)| extension);
    match (folder, extension) {
        (_, "yml" | "yaml") => match Yaml::parse(&file.path, &file.text) {
            Ok(yaml) => properties::read(&yaml, &mut files.properties, problems),
            Err(problem) => problems.push(problem),
        },
        ("models", "sql") => files.models.push(file),
        ("tests", "sql") => files.tests.push(file),
        ("macros", "sql") => {
            let names = macro_names(&file.text);
            files.macros.push(MacroFile { path: file.path, text: file.text, names });
        }
        ("seeds", "csv") => match Seed::parse(file.stem(), &file.path, &file.text) {
            Ok(seed) => files.seeds.push(seed),
            Err(problem) => problems.push(problem),
        },
        _ => {}
    }
}

fn walk(root: &Path, dir: &Path, depth: usize, found: &mut Vec<TextFile>) -> Result<(), Problem> {
    if depth > MAX_DEPTH || !dir.is_dir() {
        return Ok(());
    }
    let fail =
        |path: &Path, error: std::io::Error| whole_file(&path.display().to_string(), &error.to_string());
    let entries = fs::read_dir(dir).map_err(|error| fail(dir, error))?;
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            walk(root, &path, depth + 1, found)?;
        } else if path
            .extension()
            .is_some_and(|extension| ["sql", "yml", "yaml", "csv"].iter().any(|known| extension == *known))
        {
            let text = fs::read_to_string(&path).map_err(|error| fail(&path, error))?;
            let relative = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().replace('\\', "/");
            found.push(TextFile { path: relative, text });
        }
    }
    Ok(())
}

fn read_project(yaml: &Yaml, files: &mut Files, problems: &mut Vec<Problem>) {
    const KEYS: [&str; 12] = [
        "name",
        "version",
        "config-version",
        "profile",
        "model-paths",
        "seed-paths",
        "test-paths",
        "macro-paths",
        "vars",
        "models",
        "clean-targets",
        "flags",
    ];
    let Some(map) = yaml.value.as_object() else {
        problems.push(yaml.problem("", "the project file is empty", Some("name: my_project".to_owned())));
        return;
    };
    for key in map.keys().filter(|key| !KEYS.contains(&key.as_str())) {
        problems.push(yaml.problem(
            &format!("/{key}"),
            format!("unknown key `{key}`"),
            did_you_mean(key, KEYS),
        ));
    }
    match map.get("name").and_then(Value::as_str) {
        Some(name) => name.clone_into(&mut files.name),
        None => {
            problems.push(yaml.problem("", "the project has no name", Some("name: my_project".to_owned())))
        }
    }
    if let Some(vars) = map.get("vars").and_then(Value::as_object) {
        files.vars = vars.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    }
    if let Some(models) = map.get("models").and_then(|models| models.get(&files.name)) {
        read_folder(models, String::new(), &mut files.folder_configs);
    }
}

fn read_folder(value: &Value, folder: String, configs: &mut Vec<(String, RawConfig)>) {
    let Some(map) = value.as_object() else { return };
    let words =
        map.iter().filter_map(|(key, value)| Some((key.strip_prefix('+')?.to_owned(), value.clone())));
    configs.push((folder.clone(), words.collect()));
    for (name, inner) in map.iter().filter(|(name, _)| !name.starts_with('+')) {
        let inner_folder = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
        read_folder(inner, inner_folder, configs);
    }
}

fn digest<'a>(files: impl Iterator<Item = &'a TextFile>) -> String {
    let mut hash = Sha256::new();
    for file in files {
        for part in [&file.path, &file.text] {
            hash.update(part.len().to_le_bytes());
            hash.update(part);
        }
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn whole_file(file: &str, message: &str) -> Problem {
    Problem { file: file.to_owned(), line: 0, column: 0, message: message.to_owned(), hint: None }
}
