//! What tasks ask of the platform, answered from the store.

use crate::rows::Rows;
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use model::platform::{Approval, Asker, Platform, PlatformError, TriggerRequest};
use model::{Clock, RunState, Window, params};
use std::sync::Arc;
use store::runs::{NewRun, RunType};

pub(crate) struct StorePlatform {
    store: Arc<dyn Rows>,
    clock: Arc<dyn Clock>,
}

impl StorePlatform {
    pub fn new(store: Arc<dyn Rows>, clock: Arc<dyn Clock>) -> Self {
        StorePlatform { store, clock }
    }
}

#[async_trait]
impl Platform for StorePlatform {
    async fn trigger(&self, request: TriggerRequest) -> Result<(), PlatformError> {
        let dag_id = request.dag_id;
        let Some((version_id, dag)) = self.store.current_dag(&dag_id).await.map_err(failed)? else {
            return Err(PlatformError::Refused(format!("there is no dag '{dag_id}'")));
        };
        let checked = params::check(&dag.params, &request.params)
            .map_err(|problems| PlatformError::Refused(problems.join("; ")))?;
        let now = self.clock.now();
        let run = NewRun {
            dag_id,
            run_id: request.run_id,
            version_id,
            run_type: RunType::Manual,
            window: request.window,
            logical_date: request.logical_date,
            run_after: now,
            params: checked,
            requested_by: request.requested_by,
            note: None,
        };
        match self.store.trigger(run, now).await {
            Ok(_) | Err(store::Error::Duplicate { .. }) => Ok(()),
            Err(error) => Err(failed(error)),
        }
    }

    async fn run_state(&self, dag_id: &str, run_id: &str) -> Result<Option<RunState>, PlatformError> {
        let run = self.store.run(dag_id, run_id).await.map_err(failed)?;
        Ok(run.map(|run| run.state))
    }

    async fn run_for(
        &self,
        dag_id: &str,
        window: Option<Window>,
        logical_date: Option<DateTime<Utc>>,
    ) -> Result<Option<(String, RunState)>, PlatformError> {
        self.store.run_for(dag_id, window, logical_date).await.map_err(failed)
    }

    async fn approval(&self, asker: &Asker, prompt: &str) -> Result<Approval, PlatformError> {
        self.store.ask_approval(asker, prompt, self.clock.now()).await.map_err(failed)
    }
}

fn failed(error: store::Error) -> PlatformError {
    match error {
        store::Error::Refused { message } => PlatformError::Refused(message),
        error => PlatformError::Unavailable(error.to_string()),
    }
}
