//! The result of one test on data, as kinds report it and pages show it.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Blocks what is downstream.
    Error,
    /// Reports.
    Warn,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckStatus {
    Pass,
    Warn,
    Fail,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckResult {
    /// Unique in its project, such as `unique_dim_songs_songKey`.
    pub name: String,
    /// What is tested: a model, a topic, a table.
    pub subject: String,
    pub severity: Severity,
    pub status: CheckStatus,
    /// The measured value, such as the number of failing rows.
    pub value: f64,
    /// What was allowed, in words: `= 0`, `>= 0.99`.
    pub bounds: String,
    /// At most 20 failing rows, as JSON objects.
    pub sample: Vec<serde_json::Value>,
    pub sql: Option<String>,
}
