//! YAML to a checked [`Dag`]. All problems of a file are found at once, each with its place and what to do.
//!
//! `yaml` makes a tree with positions, `fields` reads typed values from it, `top` the dag, `times` its schedule, `tasks` a task,
//! `build` checks needs, kinds and templates and puts the tasks in order. `file` documents the format and gives the JSON Schema.
//!
//! Not here: reading files; the caller brings the bytes.

mod build;
mod fields;
pub mod file;
mod hash;
mod schema;
mod tasks;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_broken;
mod times;
mod top;
mod yaml;

pub use hash::dag_hash;
pub use schema::json_schema;

use crate::dag::Dag;
use crate::problem::Problem;
use crate::registry::Registry;
use fields::Reader;
use std::path::Path;

/// The dag that the file describes, or everything that is wrong with it, in the order of the file. Kinds resolve relative paths of
/// `with:` against `dag_dir`.
pub fn read(file: &str, bytes: &[u8], dag_dir: &Path, registry: &Registry) -> Result<Dag, Vec<Problem>> {
    let mut reader = Reader::new(file);
    let dag =
        yaml::parse(bytes, &mut reader).and_then(|root| top::read(&mut reader, &root, dag_dir, registry));
    let problems = reader.into_problems();
    match dag {
        Some(dag) if problems.is_empty() => Ok(dag),
        _ => Err(problems),
    }
}
