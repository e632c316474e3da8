//! Asks the warehouse for all panels of one view, a few at a time, and keeps the answer for some seconds: pages look again and again.

use super::Dashboard;
use super::draw;
use super::file::{Kind, PanelFile};
use crate::ui::{Html, esc};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use futures::StreamExt;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use warehouse::{Dialect, Rows, Value, Warehouse};

/// What is looked at: a period of whole days and the filters' values.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct View {
    pub from: NaiveDate,
    /// The last day, included.
    pub to: NaiveDate,
    pub filters: BTreeMap<String, String>,
}

/// A choice of a filter.
#[derive(Debug, Clone)]
pub struct Choice {
    pub value: String,
    pub label: String,
}

/// All panels, drawn.
#[derive(Default)]
pub struct Drawn {
    pub panels: Vec<DrawnPanel>,
    /// The choices of each filter, by its name.
    pub choices: HashMap<String, Vec<Choice>>,
    /// The tables are not there yet.
    pub is_filling: bool,
}

#[derive(Clone)]
pub struct DrawnPanel {
    pub title: String,
    pub note: String,
    pub width: u8,
    pub body: Html,
}

/// For how long an answer is good.
const FRESH: TimeDelta = TimeDelta::seconds(10);
const KEPT: usize = 32;
/// Queries of one page at once.
const AT_ONCE: usize = 2;
/// A panel that takes longer is shown without figures.
const PATIENCE: Duration = Duration::from_secs(15);

/// The schema of the models that panels read.
const MODELS: &str = "prod";
const NO_TABLE_HINT: &str = "While the first models are being built, it comes by itself. Otherwise correct the table's name in the panel.";

pub type Cache = Mutex<HashMap<View, (DateTime<Utc>, Arc<Drawn>)>>;

enum Answer {
    Rows(Rows),
    /// A table of the query does not exist.
    NoTable(String),
    Failed(String),
}

impl Dashboard {
    pub async fn draw(
        &self,
        warehouse: &dyn Warehouse,
        view: &View,
        now: DateTime<Utc>,
        link: &(dyn Fn(&str, &str) -> String + Sync),
    ) -> Arc<Drawn> {
        if let Some((at, drawn)) = self.cache.lock().expect("no holder panics").get(view)
            && now - *at < FRESH
        {
            return drawn.clone();
        }
        let values = values(self, view, now);
        let asked: Vec<_> = self.panels.iter().map(|panel| ask(warehouse, panel, &values)).collect();
        let answers: Vec<Answer> = futures::stream::iter(asked).buffered(AT_ONCE).collect().await;
        let lacks = answers.iter().any(|answer| matches!(answer, Answer::NoTable(_)));
        let mut drawn = Drawn { is_filling: lacks && !has_models(warehouse).await, ..Drawn::default() };
        for (panel, answer) in self.panels.iter().zip(answers) {
            if panel.kind == Kind::Filter {
                let rows = if let Answer::Rows(rows) = answer { rows } else { Rows::default() };
                drawn.choices.insert(panel.name.clone(), draw::choices(&rows));
                continue;
            }
            let body = match answer {
                Answer::Rows(rows) => draw::panel(panel, &rows, view, now, link),
                Answer::NoTable(_) if drawn.is_filling => {
                    Html(r#"<p class="nodata">Filling: no hour is loaded yet.</p>"#.into())
                }
                Answer::NoTable(message) => {
                    tracing::warn!(%message, panel = panel.id, "a dashboard panel asks for a table that does not exist");
                    problem(panel, &format!("{message}\n{NO_TABLE_HINT}"))
                }
                Answer::Failed(message) => problem(panel, &message),
            };
            drawn.panels.push(DrawnPanel {
                title: panel.title.clone(),
                note: panel.note.clone(),
                width: panel.width,
                body,
            });
        }
        let drawn = Arc::new(drawn);
        self.keep(view.clone(), now, drawn.clone());
        drawn
    }

    fn keep(&self, view: View, now: DateTime<Utc>, drawn: Arc<Drawn>) {
        let mut cache = self.cache.lock().expect("no holder panics");
        cache.retain(|_, (at, _)| now - *at < FRESH);
        if cache.len() < KEPT {
            cache.insert(view, (now, drawn));
        }
    }
}

/// A panel that cannot be drawn: its file, and why.
fn problem(panel: &PanelFile, message: &str) -> Html {
    let (file, message) = (esc(&panel.id), esc(message));
    Html(format!(
        r#"<div class="notice bad" role="alert"><strong>{file}.sql</strong><pre>{message}</pre></div>"#
    ))
}

fn lacks_table(error: &warehouse::Error) -> bool {
    error.is_missing_table()
}

/// Whether any model was built. Before that, a missing table is only not there yet; afterwards its name is wrong, or its model.
async fn has_models(warehouse: &dyn Warehouse) -> bool {
    if warehouse.dialect() == Dialect::BigQuery {
        return matches!(warehouse.relation(MODELS, "_intervals").await, Ok(Some(_)));
    }
    let asked = warehouse
        .query(
            "select 1 as one from information_schema.tables where table_schema = $1 limit 1",
            &[MODELS.into()],
        )
        .await;
    asked.is_ok_and(|rows| !rows.is_empty())
}

/// What a query may name: the period, now, and each filter (null without a choice).
fn values(dashboard: &Dashboard, view: &View, now: DateTime<Utc>) -> Vec<(String, Value)> {
    let midnight = |day: NaiveDate| Value::Time(day.and_time(chrono::NaiveTime::MIN).and_utc());
    let mut values = vec![
        ("from".to_string(), midnight(view.from)),
        ("to".to_string(), midnight(view.to + TimeDelta::days(1))),
        ("now".to_string(), Value::Time(now)),
    ];
    for filter in dashboard.panels.iter().filter(|panel| panel.kind == Kind::Filter) {
        values.push((filter.name.clone(), view.filters.get(&filter.name).cloned().into()));
    }
    values
}

async fn ask(warehouse: &dyn Warehouse, panel: &PanelFile, values: &[(String, Value)]) -> Answer {
    let bound = match panel.bind(values) {
        Ok(bound) => bound,
        Err(message) => return Answer::Failed(message),
    };
    match tokio::time::timeout(PATIENCE, warehouse.query(&panel.sql, &bound)).await {
        Ok(Ok(rows)) => Answer::Rows(rows),
        Ok(Err(error)) if lacks_table(&error) => Answer::NoTable(error.to_string()),
        Ok(Err(error)) => {
            tracing::warn!(%error, panel = panel.id, "a dashboard panel failed");
            Answer::Failed(error.to_string())
        }
        Err(_) => Answer::Failed(format!("The query took longer than {} s.", PATIENCE.as_secs())),
    }
}
