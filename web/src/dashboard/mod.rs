//! The dashboard: panels are SQL files that lie with the pipeline, read at start. What a panel means is in its file; here is only how to
//! read it (`file`), ask the warehouse (`ask`) and draw the answer (`draw`).

mod ask;
mod draw;
mod file;

pub use ask::{Drawn, View};
pub use file::{Kind, PanelFile};

use std::path::Path;

/// What was found in the folder.
#[derive(Default)]
pub struct Dashboard {
    pub panels: Vec<PanelFile>,
    /// Files that cannot be used, each with the reason.
    pub problems: Vec<String>,
    cache: ask::Cache,
}

impl Dashboard {
    /// Reads all `*.sql` of a folder. A file that cannot be used is a problem shown on the page, never a stop.
    pub fn read(folder: Option<&Path>) -> Dashboard {
        let mut dashboard = Dashboard::default();
        let Some(folder) = folder else { return dashboard };
        let entries = match std::fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) => {
                dashboard
                    .problems
                    .push(format!("{}: {error}; the dashboard has no panels", folder.display()));
                return dashboard;
            }
        };
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            if path.extension().is_none_or(|extension| extension != "sql") {
                continue;
            }
            let read = std::fs::read_to_string(&path).map_err(|error| error.to_string());
            let stem = path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
            match read.and_then(|text| PanelFile::parse(&stem, &text)) {
                Ok(panel) => dashboard.panels.push(panel),
                Err(message) => dashboard.problems.push(format!("{}: {message}", path.display())),
            }
        }
        dashboard.panels.sort_by(|a, b| (a.order, &a.id).cmp(&(b.order, &b.id)));
        for problem in &dashboard.problems {
            tracing::warn!(%problem, "a dashboard panel is left out");
        }
        dashboard
    }
}
