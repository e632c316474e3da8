//! YAML to a checked [`Dag`]. All problems of a file are found at once, each with its place and what to do.
//!
//! `yaml` makes a tree with positions, `fields` reads typed values from it: `top` the dag, `times` its schedule, `notify` whom it tells,
//! `tasks` the tree of tasks and groups, `task` one of them (`each`, `retries`, `service`), `custom` the kinds that people wrote. `graph`
//! resolves needs, `names` checks templates, `build` asks the kinds and puts the tasks in order. `file` documents the format and gives
//! the JSON Schema, `test_file` reads tests of dags.
//!
//! Not here: reading files; the caller brings the bytes.

mod after;
mod build;
mod custom;
mod each;
mod fields;
pub mod file;
mod graph;
mod hash;
mod names;
mod notify;
mod retries;
mod schema;
mod service;
mod task;
mod tasks;
mod test_file;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_broken;
#[cfg(test)]
mod tests_broken_more;
#[cfg(test)]
mod tests_fuzz;
#[cfg(test)]
mod tests_keys;
#[cfg(test)]
mod tests_large;
mod times;
mod top;
mod yaml;

pub use custom::{CustomKind, Input, read_kind};
pub use hash::dag_hash;
pub use schema::json_schema;
pub use test_file::{read_test, tested_dag};
pub use yaml::BYTES_MAX;

use crate::dag::Dag;
use crate::problem::Problem;
use crate::registry::Registry;
use fields::Reader;
use std::collections::BTreeSet;
use std::path::Path;

/// What a file came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    pub dag: Result<Dag, Vec<Problem>>,
    /// Kinds that the file uses and the program does not have: custom ones, there or not. When a file of one of them comes, changes or
    /// goes, this file is to be read again.
    pub custom_kinds: BTreeSet<String>,
}

/// The dag that the file describes, or everything that is wrong with it, in the order of the file. Kinds resolve relative paths of
/// `with:` against `dag_dir`.
pub fn read(file: &str, bytes: &[u8], dag_dir: &Path, registry: &Registry) -> Result<Dag, Vec<Problem>> {
    read_with_kinds(file, bytes, dag_dir, registry).dag
}

/// The same, with what else it depends on.
pub fn read_with_kinds(file: &str, bytes: &[u8], dag_dir: &Path, registry: &Registry) -> Reading {
    let mut reader = Reader::new(file);
    let dag =
        yaml::parse(bytes, &mut reader).and_then(|root| top::read(&mut reader, &root, dag_dir, registry));
    let custom_kinds = reader.take_custom_kinds();
    let problems = reader.into_problems();
    let dag = match dag {
        Some(dag) if problems.is_empty() => Ok(dag),
        _ => Err(problems),
    };
    Reading { dag, custom_kinds }
}
