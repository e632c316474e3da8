//! `cargo xtask changelog <version>`: the fragments of changelog.d become a section of CHANGELOG.md; with `--notes`, prints the section.

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

const HEAD: &str = "# Changelog\n";
/// (ending of the fragment's name, heading), in the order of a section.
const KINDS: [(&str, &str); 4] =
    [("feature", "New"), ("change", "Changed"), ("fix", "Fixed"), ("removal", "Removed")];

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Fragment {
    kind: usize,
    /// Number and slug: the order within a kind.
    name: String,
    text: String,
    file: PathBuf,
}

pub fn run(root: &Path, arguments: &[String]) -> Result<()> {
    let (version, is_notes) = match arguments {
        [version] => (version, false),
        [version, flag] if flag == "--notes" => (version, true),
        _ => bail!("changelog of what? `changelog 1.2.3 [--notes]`"),
    };
    if !is_version(version) {
        bail!("`{version}` is no version; write 1.2.3");
    }
    if is_notes {
        print!("{}", notes(root, version)?);
        return Ok(());
    }
    let count = gather(root, version, &today()?)?;
    eprintln!(
        "changelog: {count} fragments are now section {version} of CHANGELOG.md; look at it, commit it, then tag v{version}"
    );
    Ok(())
}

/// Writes the section first and removes fragments after it: what is interrupted leaves all of them, and says so the next time.
fn gather(root: &Path, version: &str, date: &str) -> Result<usize> {
    let fragments = fragments(root)?;
    if fragments.is_empty() {
        bail!("changelog.d has no fragments: nothing has changed");
    }
    let file = root.join("CHANGELOG.md");
    let before = if file.exists() { std::fs::read_to_string(&file)? } else { HEAD.to_string() };
    let Some(older) = before.strip_prefix(HEAD) else {
        bail!("CHANGELOG.md does not begin with `{}`", HEAD.trim());
    };
    if section(&before, version).is_some() {
        bail!("CHANGELOG.md has a section {version} already");
    }
    std::fs::write(&file, format!("{HEAD}\n{}{older}", shown(&fragments, version, date)))?;
    for fragment in &fragments {
        std::fs::remove_file(&fragment.file)?;
    }
    Ok(fragments.len())
}

/// The section without its heading, for a release.
fn notes(root: &Path, version: &str) -> Result<String> {
    let left = fragments(root)?.len();
    if left > 0 {
        bail!(
            "changelog.d still has {left} fragments; run `cargo xtask changelog {version}` and commit before the tag"
        );
    }
    let text = std::fs::read_to_string(root.join("CHANGELOG.md")).context("CHANGELOG.md")?;
    let section =
        section(&text, version).with_context(|| format!("CHANGELOG.md has no section {version}"))?;
    Ok(format!("{}\n", section.trim()))
}

fn section<'t>(text: &'t str, version: &str) -> Option<&'t str> {
    let start = text.find(&format!("\n## {version} - "))? + 1;
    let body = &text[start..];
    let body = &body[body.find('\n')?..];
    Some(body.find("\n## ").map_or(body, |end| &body[..end]))
}

fn fragments(root: &Path) -> Result<Vec<Fragment>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root.join("changelog.d")).context("changelog.d")? {
        let file = entry?.path();
        let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_string();
        if name != "README.md" {
            found.push(read(file, &name)?);
        }
    }
    found.sort();
    Ok(found)
}

fn read(file: PathBuf, name: &str) -> Result<Fragment> {
    let mut parts = name.rsplitn(3, '.');
    let (ending, kind, stem) =
        (parts.next(), parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let kind = KINDS.iter().position(|(word, _)| *word == kind);
    let is_numbered = stem.split_once('-').is_some_and(|(number, slug)| {
        number.len() == 4 && number.bytes().all(|byte| byte.is_ascii_digit()) && !slug.is_empty()
    });
    let (Some("md"), Some(kind), true) = (ending, kind, is_numbered) else {
        bail!("changelog.d/{name}: name it <0000>-<slug>.<feature|fix|change|removal>.md");
    };
    let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    if text.trim().is_empty() {
        bail!("changelog.d/{name} is empty: say what a user sees");
    }
    Ok(Fragment { kind, name: stem.to_string(), text: text.trim().to_string(), file })
}

fn shown(fragments: &[Fragment], version: &str, date: &str) -> String {
    let mut text = format!("## {version} - {date}\n");
    for (at, (_, heading)) in KINDS.iter().enumerate() {
        let of_kind: Vec<&Fragment> = fragments.iter().filter(|fragment| fragment.kind == at).collect();
        if !of_kind.is_empty() {
            text.push_str(&format!("\n### {heading}\n\n"));
        }
        for fragment in of_kind {
            text.push_str(&format!("- {}\n", fragment.text.replace('\n', "\n  ")));
        }
    }
    text
}

fn is_version(text: &str) -> bool {
    let numbers: Vec<&str> = text.split('.').collect();
    numbers.len() == 3
        && numbers.iter().all(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

fn today() -> Result<String> {
    let output = Command::new("date").args(["-u", "+%F"]).output().context("`date`")?;
    Ok(String::from_utf8(output.stdout)?.trim().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str, fragments: &[(&str, &str)]) -> Folder {
            let root =
                std::env::temp_dir().join(format!("streamify-changelog-{name}-{}", std::process::id()));
            let _ = std::fs::remove_dir_all(&root);
            std::fs::create_dir_all(root.join("changelog.d")).unwrap();
            std::fs::write(root.join("changelog.d/README.md"), "# Changelog fragments\n").unwrap();
            for (name, text) in fragments {
                std::fs::write(root.join("changelog.d").join(name), text).unwrap();
            }
            Folder(root)
        }

        fn changelog(&self) -> String {
            std::fs::read_to_string(self.0.join("CHANGELOG.md")).unwrap()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn fragments_are_grouped_by_kind_in_order_and_removed() {
        let folder = Folder::new(
            "group",
            &[
                ("0003-b.feature.md", "Second.\n"),
                ("0001-a.feature.md", "First,\nover two lines.\n"),
                ("0002-x.fix.md", "Mended.\n"),
                ("0004-y.removal.md", "Gone."),
            ],
        );
        assert_eq!(gather(&folder.0, "0.1.0", "2026-11-22").unwrap(), 4);
        let expected = "# Changelog\n\n## 0.1.0 - 2026-11-22\n\n### New\n\n- First,\n  over two lines.\n- Second.\n\n### Fixed\n\n- Mended.\n\n\
                        ### Removed\n\n- Gone.\n";
        assert_eq!(folder.changelog(), expected);
        assert!(fragments(&folder.0).unwrap().is_empty(), "they are in the changelog now");
        assert!(folder.0.join("changelog.d/README.md").exists());
    }

    #[test]
    fn the_newest_section_comes_first_and_notes_are_one_section() {
        let folder = Folder::new("newest", &[("0001-a.feature.md", "First.")]);
        gather(&folder.0, "0.1.0", "2026-01-01").unwrap();
        std::fs::write(folder.0.join("changelog.d/0002-b.change.md"), "Other.").unwrap();
        let early = notes(&folder.0, "0.1.0").unwrap_err().to_string();
        assert!(early.contains("1 fragments"), "a release before the changelog is refused: {early}");
        gather(&folder.0, "0.2.0", "2026-02-01").unwrap();
        let text = folder.changelog();
        assert!(text.find("## 0.2.0").unwrap() < text.find("## 0.1.0").unwrap(), "{text}");
        assert_eq!(notes(&folder.0, "0.2.0").unwrap(), "### Changed\n\n- Other.\n");
        assert_eq!(notes(&folder.0, "0.1.0").unwrap(), "### New\n\n- First.\n");
        assert!(notes(&folder.0, "0.3.0").unwrap_err().to_string().contains("no section 0.3.0"));
    }

    #[test]
    fn a_second_time_an_empty_folder_and_a_wrong_name_are_refused() {
        let folder = Folder::new("refused", &[("0001-a.feature.md", "First.")]);
        gather(&folder.0, "0.1.0", "2026-01-01").unwrap();
        assert!(gather(&folder.0, "0.2.0", "2026-01-01").unwrap_err().to_string().contains("no fragments"));
        std::fs::write(folder.0.join("changelog.d/0002-b.fix.md"), "Other.").unwrap();
        assert!(gather(&folder.0, "0.1.0", "2026-01-01").unwrap_err().to_string().contains("already"));
        assert!(folder.0.join("changelog.d/0002-b.fix.md").exists(), "what was refused changed nothing");
        for name in ["b.fix.md", "0002-b.md", "0002-b.bug.md", "2-b.fix.md", "0002-.fix.md"] {
            let folder = Folder::new("name", &[(name, "x")]);
            let error = gather(&folder.0, "0.1.0", "2026-01-01").unwrap_err().to_string();
            assert!(error.contains(name), "{name}: {error}");
        }
    }

    #[test]
    fn versions_are_three_numbers() {
        assert!(is_version("0.10.2"));
        for wrong in ["1.2", "v1.2.3", "1.2.x", "1..3", ""] {
            assert!(!is_version(wrong), "{wrong}");
        }
    }

    #[test]
    fn the_fragments_of_this_repository_can_be_gathered() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        fragments(root).unwrap();
    }
}
