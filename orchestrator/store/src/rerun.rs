//! Running again as a new run: the old one stays as it was. (Running the same run again is clearing it.)

use crate::rows::clean;
use crate::runs::{NewRun, Run, RunType, trigger_on};
use crate::{Error, Result, Store, audit, clear};
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

#[derive(Debug, Clone, Default)]
pub struct RerunRequest {
    /// The id of the new run; made from the instant if there is none.
    pub run_id: Option<String>,
    /// Parameters that change, an object; the others are as in the old run.
    pub params: Option<Value>,
    /// On the version that the old run had, instead of the newest.
    pub same_version: bool,
    /// Why, for the audit log.
    pub reason: String,
}

impl Store {
    /// A manual run with the window, logical date and parameters of an old one.
    pub async fn rerun(
        &self,
        dag_id: &str,
        run_id: &str,
        request: &RerunRequest,
        who: &str,
        now: DateTime<Utc>,
    ) -> Result<Run> {
        let unknown = || Error::NotFound { what: format!("run '{run_id}' of dag '{dag_id}'") };
        let old = self.run(dag_id, run_id).await?.ok_or_else(unknown)?;
        let (newest, _) = self.current_dag(dag_id).await?.ok_or_else(|| Error::Refused {
            message: format!("the file of dag '{dag_id}' is gone: nothing of it can run"),
        })?;
        let version_id = if request.same_version { old.version_id } else { newest };
        let dag = self.dag_version(version_id).await?;
        let params = clear::edit_params(&dag, &old.params, request.params.as_ref().unwrap_or(&Value::Null))?;
        let generated = || format!("rerun__{}", now.to_rfc3339_opts(SecondsFormat::Micros, false));
        let run = NewRun {
            dag_id: dag_id.to_owned(),
            run_id: request.run_id.clone().unwrap_or_else(generated),
            version_id,
            run_type: RunType::Manual,
            window: old.window,
            logical_date: old.logical_date,
            run_after: now,
            params,
            requested_by: clean(who).into_owned(),
            note: Some(format!("again: {run_id}")),
        };
        let mut tx = self.begin().await?;
        let made = trigger_on(&mut tx, &run, now).await?;
        let edited = request.params.as_ref().and_then(Value::as_object);
        let details = json!({
            "new_run": made.run_id, "same_version": request.same_version,
            "params": edited.map(|params| params.keys().collect::<Vec<_>>()),
        });
        let subject = format!("{dag_id}/{run_id}");
        let details = audit::because(details, &request.reason);
        audit::record(&mut tx, who, "run.rerun", &subject, &details, now).await?;
        tx.commit().await?;
        Ok(made)
    }
}
