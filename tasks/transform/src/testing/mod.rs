//! Tests on data: what each generic test asks, as SQL, and what an answer means.

mod judge;
mod parse;
mod sql;

use model::Problem;

pub(crate) use judge::{SAMPLE_ROWS, judge};

use crate::config::{Config, RawConfig};
use crate::jinja::Scope;
use crate::project::Project;
use crate::{Error, RunArgs};

/// A test as written under a model or column.
#[derive(Clone, Debug)]
pub(crate) struct RawTest {
    pub(crate) name: String,
    pub(crate) arguments: RawConfig,
    pub(crate) column: Option<String>,
    pub(crate) place: Problem,
}

/// What a generic test asks.
#[derive(Clone, Debug)]
pub(crate) enum Check {
    Unique { columns: Vec<String> },
    NotNull { column: String, at_least: Option<f64> },
    AcceptedValues { column: String, values: Vec<serde_json::Value> },
    Relationships { column: String, to: String, field: String, at_least: Option<f64> },
    AcceptedRange { column: String, min: Option<f64>, max: Option<f64> },
    Expression { expression: String },
    RowCount { min: Option<f64>, max: Option<f64> },
    EqualRowcount { compare: String },
    NoMissingHours,
    Recency { column: String, hours: f64 },
    ExclusiveRanges { lower: String, upper: String, partition_by: Option<String>, gaps: bool },
}

#[derive(Clone, Debug)]
pub(crate) struct GenericTest {
    pub(crate) name: String,
    /// A Jinja expression: `ref('dim_users')`.
    pub(crate) subject: String,
    /// As pages show it.
    pub(crate) label: String,
    /// The model or seed, unless the subject is a source.
    pub(crate) model: Option<String>,
    pub(crate) path: String,
    pub(crate) check: Check,
    pub(crate) config: Config,
}

/// A test ready to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Returns the rows that should not be.
    pub(crate) failing: String,
    /// Returns one number, where a test is more than "no failing rows".
    pub(crate) measure: Option<String>,
    pub(crate) low: Option<f64>,
    pub(crate) high: Option<f64>,
}

impl Plan {
    pub(crate) fn rows(failing: String) -> Self {
        Self { failing, measure: None, low: None, high: None }
    }

    pub(crate) fn display_sql(self) -> String {
        self.measure.unwrap_or(self.failing)
    }
}

impl GenericTest {
    /// Everything that the test refers to, for finding its dependencies.
    pub(crate) fn reference_text(&self) -> String {
        let other = match &self.check {
            Check::Relationships { to, .. } => format!("{{{{ {to} }}}}"),
            Check::EqualRowcount { compare } => format!("{{{{ {compare} }}}}"),
            Check::Expression { expression } => expression.clone(),
            _ => String::new(),
        };
        format!("{{{{ {} }}}} {other} {}", self.subject, self.config.filter.as_deref().unwrap_or_default())
    }

    pub(crate) fn plan(&self, project: &Project, scope: &Scope, args: &RunArgs) -> Result<Plan, Error> {
        let scope = Scope { narrow: scope.narrow && self.check.is_about_rows(), ..scope.clone() };
        let draft = sql::draft(self, project, &scope, args);
        let render = |text: &str| project.render(&self.path, text, &scope).map(|(sql, _)| sql);
        Ok(Plan {
            failing: render(&draft.failing)?,
            measure: draft.measure.as_deref().map(render).transpose()?,
            ..draft
        })
    }
}

impl Check {
    /// False for questions about time itself, which the window must not narrow.
    fn is_about_rows(&self) -> bool {
        !matches!(self, Self::NoMissingHours | Self::Recency { .. })
    }
}
