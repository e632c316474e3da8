//! Ceilings: a file that grows beyond them has more than one purpose. Functions are held to 70 lines by clippy.

use std::path::{Path, PathBuf};

const LINES_MAX: usize = 500;
const TEST_LINES_MAX: usize = 800;

pub fn check(root: &Path, files: &[PathBuf]) -> Vec<String> {
    let sources = files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "rs"));
    sources.filter_map(|file| too_long(root, file)).collect()
}

fn too_long(root: &Path, file: &Path) -> Option<String> {
    let lines = std::fs::read_to_string(root.join(file)).ok()?.lines().count();
    let is_test = file.components().any(|part| part.as_os_str() == "tests")
        || file.file_stem().is_some_and(|stem| stem == "tests");
    let limit = if is_test { TEST_LINES_MAX } else { LINES_MAX };
    (lines > limit)
        .then(|| format!("{} has {lines} lines; at most {limit}: split it by purpose", file.display()))
}
