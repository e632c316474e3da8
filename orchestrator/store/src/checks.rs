//! Results of tests on data.

use crate::{Result, Store};
use chrono::{DateTime, Utc};
use model::CheckResult;

impl Store {
    pub async fn put_check(&self, _attempt_id: i64, _result: &CheckResult, _now: DateTime<Utc>) -> Result<()> {
        todo!()
    }
}
