//! One look at the folder: which dag files there are, and what lies beside them. Bounded, whatever the folder looks like.

use model::Problem;
use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, HashSet};
use std::hash::{Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Folders whose files belong to a dag and are none themselves.
const CONTENT_FOLDERS: [&str; 8] =
    ["schemas", "models", "seeds", "tests", "macros", "snapshots", "analyses", "scripts"];
/// Files beside dags that other tools read.
const CONTENT_FILES: [&str; 6] = [
    "dag.schema.json",
    "dbt_project.yml",
    "packages.yml",
    "profiles.yml",
    "selectors.yml",
    "dependencies.yml",
];
/// Tests of dags: `streamify dag test` reads them, the platform does not.
const TEST_SUFFIXES: [&str; 2] = [".test.yaml", ".test.yml"];
/// In the dags folder itself: files of custom kinds.
const KINDS_FOLDER: &str = "kinds/";
/// Folders that hold nothing that a person wrote.
const SKIPPED_FOLDERS: [&str; 5] = ["target", "dbt_packages", "node_modules", "__pycache__", "logs"];
const ENTRIES_MAX: usize = 200_000;
const DEPTH_MAX: usize = 16;

/// What tells whether a file has changed, without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Stamp {
    pub modified: SystemTime,
    pub size: u64,
}

#[derive(Debug, Default)]
pub(super) struct Scan {
    /// Dag files by path within the folder, with `/`.
    pub files: BTreeMap<String, Stamp>,
    /// Files of custom kinds.
    pub kinds: BTreeMap<String, Stamp>,
    /// Files with tests of dags.
    pub tests: Vec<String>,
    /// Everything else.
    content: BTreeMap<String, Stamp>,
    /// What could not be looked at, by the path that it is reported for; such paths are also in `files`.
    pub problems: BTreeMap<String, Problem>,
}

impl Scan {
    /// A digest of all that lies below the folder of a dag file and is no dag.
    pub fn content_below(&self, file: &str) -> u64 {
        let folder = file.rfind('/').map_or("", |at| &file[..=at]);
        let mut hasher = DefaultHasher::new();
        for entry in self.content.range(folder.to_owned()..).take_while(|(path, _)| path.starts_with(folder))
        {
            entry.hash(&mut hasher);
        }
        hasher.finish()
    }

    fn report(&mut self, path: String, message: String, hint: &str) {
        let problem =
            Problem { file: path.clone(), line: 0, column: 0, message, hint: Some(hint.to_owned()) };
        self.files.insert(path.clone(), Stamp { modified: SystemTime::UNIX_EPOCH, size: 0 });
        self.problems.insert(path, problem);
    }
}

struct Folder {
    path: PathBuf,
    /// Within the dags folder, empty or ending with `/`.
    name: String,
    depth: usize,
    content: bool,
}

/// An error only if the folder itself cannot be read; what is wrong inside becomes problems.
pub(super) fn scan(root: &Path) -> io::Result<Scan> {
    let mut scan = Scan::default();
    let mut entries = 0;
    let mut visited = HashSet::from([root.canonicalize()?]);
    std::fs::read_dir(root)?;
    let mut folders = vec![Folder { path: root.to_owned(), name: String::new(), depth: 0, content: false }];
    while let Some(folder) = folders.pop() {
        let listing = match std::fs::read_dir(&folder.path) {
            Ok(listing) => listing,
            Err(error) if folder.depth == 0 => return Err(error),
            Err(error) => {
                let name = folder.name.trim_end_matches('/').to_owned();
                scan.report(name, format!("the folder cannot be read: {error}"), "check its permissions");
                continue;
            }
        };
        for entry in listing.flatten() {
            entries += 1;
            if entries > ENTRIES_MAX {
                let message = format!("more than {ENTRIES_MAX} files; the rest is not looked at");
                scan.report(folder.name.clone(), message, "move what is no dag out of the dags folder");
                return Ok(scan);
            }
            look_at(&entry.path(), &folder, &mut scan, &mut visited, &mut folders);
        }
    }
    Ok(scan)
}

fn look_at(
    path: &Path,
    folder: &Folder,
    scan: &mut Scan,
    visited: &mut HashSet<PathBuf>,
    folders: &mut Vec<Folder>,
) {
    let Some(file_name) = path.file_name().map(|name| name.to_string_lossy().into_owned()) else { return };
    if file_name.starts_with('.') {
        return;
    }
    let name = format!("{}{file_name}", folder.name);
    // Follows links: a mounted folder is often made of them. A link to nowhere is as good as no file.
    let Ok(metadata) = path.metadata() else { return };
    if metadata.is_dir() {
        if SKIPPED_FOLDERS.contains(&file_name.as_str()) || folder.depth >= DEPTH_MAX {
            return;
        }
        // A folder that links lead to twice is looked at once, so that loops end.
        if path.canonicalize().is_ok_and(|real| visited.insert(real)) {
            let name = name + "/";
            let content =
                folder.content || name == KINDS_FOLDER || CONTENT_FOLDERS.contains(&file_name.as_str());
            folders.push(Folder { path: path.to_owned(), name, depth: folder.depth + 1, content });
        }
    } else if metadata.is_file() {
        let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        let stamp = Stamp { modified, size: metadata.len() };
        let is_yaml = file_name.ends_with(".yaml") || file_name.ends_with(".yml");
        let is_dag = is_yaml && !folder.content && !CONTENT_FILES.contains(&file_name.as_str());
        if is_yaml && folder.name == KINDS_FOLDER {
            scan.kinds.insert(name, stamp);
        } else if is_dag && TEST_SUFFIXES.iter().any(|suffix| file_name.ends_with(suffix)) {
            scan.tests.push(name);
        } else if is_dag {
            scan.files.insert(name, stamp);
        } else {
            scan.content.insert(name, stamp);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        }
        folder
    }

    fn names(scan: &Scan) -> Vec<&str> {
        scan.files.keys().map(String::as_str).collect()
    }

    #[test]
    fn dags_are_found_wherever_they_lie_and_content_is_not_taken_for_one() {
        let folder = folder(&[
            "a.yaml",
            "team/b.yml",
            "team/models/schema.yml",
            "kinds/copy.yaml",
            "kinds/more/notes.yaml",
            "team/kinds/c.yaml",
            "team/dbt_project.yml",
            "dag.schema.json",
            ".hidden/c.yaml",
            "notes.txt",
            "target/d.yaml",
            "team/b.test.yml",
        ]);
        let scan = scan(folder.path()).unwrap();
        assert_eq!(names(&scan), ["a.yaml", "team/b.yml", "team/kinds/c.yaml"]);
        assert_eq!(scan.kinds.keys().collect::<Vec<_>>(), ["kinds/copy.yaml"]);
        assert_eq!(scan.tests, ["team/b.test.yml"]);
    }

    #[test]
    fn the_digest_covers_what_lies_below_the_dag_and_nothing_else() {
        let folder = folder(&["a.yaml", "team/b.yml", "team/models/m.sql", "other/models/n.sql"]);
        let before = scan(folder.path()).unwrap();
        std::fs::write(folder.path().join("team/models/m.sql"), "select 1").unwrap();
        let after = scan(folder.path()).unwrap();
        assert_ne!(before.content_below("team/b.yml"), after.content_below("team/b.yml"));
        assert_eq!(before.content_below("other/c.yml"), after.content_below("other/c.yml"));
    }

    #[test]
    fn a_loop_of_links_ends() {
        let folder = folder(&["team/a.yaml"]);
        std::os::unix::fs::symlink(folder.path(), folder.path().join("team/again")).unwrap();
        std::os::unix::fs::symlink("nowhere", folder.path().join("dead.yaml")).unwrap();
        assert_eq!(names(&scan(folder.path()).unwrap()), ["team/a.yaml"]);
    }

    #[test]
    fn a_missing_folder_is_an_error() {
        assert!(scan(Path::new("/nonexistent/dags")).is_err());
    }
}
