//! What a person asks to clear or to mark: the fields of both forms, and what each would touch.

use crate::app::App;
use crate::clearing;
use crate::error::PageError;
use crate::ui;
use model::{Dag, TaskState};
use serde::Deserialize;
use store::clear::ClearRequest;
use store::mark::MarkRequest;
use store::views::runs::RunRow;

/// Lines of a preview; all are counted.
const PREVIEW: usize = 200;
/// Names that a field proposes.
const NAMES: usize = 500;

/// Asked for by the preview (in the address) and by the form itself.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Asked {
    pub csrf: String,
    /// A task or a group; empty for the whole run.
    pub task: String,
    /// An item of a mapped task; empty for all.
    pub item: String,
    pub upstream: bool,
    pub downstream: bool,
    pub past: bool,
    pub future: bool,
    pub only_failed: bool,
    pub newest: bool,
    pub state: String,
    pub reason: String,
    pub preview: bool,
}

/// An instance that would be touched.
pub struct Touched {
    pub run: String,
    pub task: String,
    pub href: String,
}

#[derive(Default)]
pub struct Preview {
    pub total: String,
    pub is_empty: bool,
    pub lines: Vec<Touched>,
    /// How many are not listed.
    pub more: usize,
    pub removed: Vec<String>,
    pub added: Vec<String>,
}

impl Asked {
    fn tasks(&self) -> Option<Vec<String>> {
        Some(self.task.trim()).filter(|task| !task.is_empty()).map(|task| vec![task.to_string()])
    }

    fn map_index(&self) -> Result<Option<i32>, PageError> {
        let text = self.item.trim();
        if text.is_empty() {
            return Ok(None);
        }
        let wrong = |_| PageError::Conflict(format!("'{text}' is not the number of an item: 0, 1, 2 ..."));
        text.parse().map(Some).map_err(wrong)
    }

    pub fn clear(&self, dry_run: bool) -> Result<ClearRequest, PageError> {
        Ok(ClearRequest {
            tasks: self.tasks(),
            map_indexes: self.map_index()?.into_iter().collect(),
            upstream: self.upstream,
            downstream: self.downstream,
            only_failed: self.only_failed,
            dry_run,
            newest_version: self.newest,
            params: None,
            reason: self.reason.trim().to_string(),
        })
    }

    pub fn mark(&self, dry_run: bool) -> Result<MarkRequest, PageError> {
        let state: Option<TaskState> = self.state.parse().ok();
        let state = state.ok_or_else(|| PageError::Conflict("Choose success, failed or skipped.".into()))?;
        let missing = || PageError::Conflict("Name the task (or group) to be marked.".into());
        Ok(MarkRequest {
            tasks: self.tasks().ok_or_else(missing)?,
            map_index: self.map_index()?,
            state,
            upstream: self.upstream,
            downstream: self.downstream,
            past: self.past,
            future: self.future,
            dry_run,
            reason: self.reason.trim().to_string(),
        })
    }

    /// The choices again, as hidden fields of the form that carries them out.
    pub fn hidden(&self) -> Vec<(&'static str, String)> {
        let flags = [
            ("upstream", self.upstream),
            ("downstream", self.downstream),
            ("past", self.past),
            ("future", self.future),
            ("only_failed", self.only_failed),
            ("newest", self.newest),
        ];
        let mut fields: Vec<(&'static str, String)> =
            flags.into_iter().filter(|(_, set)| *set).map(|(name, _)| (name, "true".into())).collect();
        for (name, text) in [("task", &self.task), ("item", &self.item), ("state", &self.state)] {
            if !text.is_empty() {
                fields.push((name, text.clone()));
            }
        }
        fields
    }
}

/// Tasks and groups to choose from.
pub fn names(dag: &Dag) -> Vec<String> {
    let groups = dag.groups.iter().map(|group| group.id.clone());
    groups.chain(dag.tasks.iter().map(|task| task.id.clone())).take(NAMES).collect()
}

/// Clears, or with a dry run says what would be.
pub async fn clear(
    app: &App,
    run: &RunRow,
    asked: &Asked,
    dry_run: bool,
    who: &str,
) -> Result<Preview, PageError> {
    let request = asked.clear(dry_run)?;
    let runs = clearing::around(app, run, asked.past, asked.future).await?;
    let mut preview = Preview::default();
    let mut names = Vec::new();
    for done in clearing::clear(app, runs, &request, Some(run.id), who).await? {
        for (task, item) in done.cleared.instances {
            names.push((done.run.run_id.clone(), task, item));
        }
        if done.run.id == run.id {
            (preview.removed, preview.added) = (done.cleared.removed, done.cleared.added);
        }
    }
    Ok(listed(&run.dag_id, names, preview))
}

pub async fn mark(
    app: &App,
    run: &RunRow,
    asked: &Asked,
    dry_run: bool,
    who: &str,
) -> Result<Preview, PageError> {
    let request = asked.mark(dry_run)?;
    let marked = app.store.mark_tasks(&run.dag_id, &run.run_id, &request, who, app.clock.now()).await?;
    let names = marked.into_iter().map(|one| (one.run_id, one.task_id, one.map_index)).collect();
    Ok(listed(&run.dag_id, names, Preview::default()))
}

fn listed(dag: &str, names: Vec<(String, String, i32)>, preview: Preview) -> Preview {
    let total = names.len();
    let line = |(run, task, item): (String, String, i32)| Touched {
        href: ui::task_url(dag, &run, &task, item),
        task: if item < 0 { task } else { format!("{task} [{item}]") },
        run,
    };
    Preview {
        total: ui::plural(total, "task instance", "task instances"),
        is_empty: total == 0 && preview.added.is_empty(),
        lines: names.into_iter().take(PREVIEW).map(line).collect(),
        more: total.saturating_sub(PREVIEW),
        ..preview
    }
}
