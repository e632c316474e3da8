//! Who did what, when, and to what.

use crate::{Result, Store};
use chrono::{DateTime, Utc};
use serde_json::Value;

impl Store {
    /// `action` such as `run.trigger`; `subject` such as `hourly/manual__1`.
    pub async fn audit(&self, _who: &str, _action: &str, _subject: &str, _details: Value, _now: DateTime<Utc>) -> Result<()> {
        todo!()
    }
}
