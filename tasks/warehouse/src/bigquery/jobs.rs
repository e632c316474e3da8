//! Jobs: started under an id of our own, so that asking twice starts one; waited for; cancelled when nobody waits any more.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::Utc;
use gcp_bigquery_client::Client;
use gcp_bigquery_client::auth::Authenticator;
use gcp_bigquery_client::client_builder::ClientBuilder;
use gcp_bigquery_client::error::BQError;
use gcp_bigquery_client::model::get_query_results_parameters::GetQueryResultsParameters;
use gcp_bigquery_client::model::get_query_results_response::GetQueryResultsResponse;
use gcp_bigquery_client::model::job::Job;
use gcp_bigquery_client::model::job_configuration::JobConfiguration;
use gcp_bigquery_client::model::job_configuration_query::JobConfigurationQuery;
use gcp_bigquery_client::model::job_reference::JobReference;
use google::{CLOUD_PLATFORM, Credentials};
use tokio::sync::OnceCell;
use tokio::time::sleep;

use super::failure::{Refusal, of_api, of_job};
use super::labels;
use super::options::Options;
use super::script::Script;
use super::values;
use crate::{Error, Rows, sql};

/// Tries of one request.
const TRIES: u32 = 6;
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(16);
/// BigQuery ends a job that takes longer.
const JOB_TIMEOUT: Duration = Duration::from_secs(2 * 3600);
/// One request waits so long for a result.
const POLL: i32 = 10_000;
/// Of one request; longer than it waits for a result.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Rows of one page.
const PAGE: i32 = 10_000;

/// The service, connected at the first use.
pub(super) struct Api {
    pub(super) options: Options,
    connected: OnceCell<Connected>,
    pauses: (Duration, Duration),
}

pub(super) struct Connected {
    pub(super) client: Client,
    pub(super) http: reqwest::Client,
    login: Arc<Login>,
}

impl Connected {
    pub(super) async fn token(&self) -> Result<String, Error> {
        self.login.access_token().await.map_err(|error| of_api(error, "login"))
    }

    /// Whose credentials are used, for people.
    pub(super) async fn principal(&self) -> String {
        match &*self.login {
            Login::Emulator => "an emulator's guest".to_owned(),
            Login::Google(credentials) => credentials.principal().await,
        }
    }
}

enum Login {
    Emulator,
    Google(Credentials),
}

/// What the client asks for its tokens.
#[derive(Clone)]
struct Tokens(Arc<Login>);

#[async_trait]
impl Authenticator for Tokens {
    async fn access_token(&self) -> Result<String, BQError> {
        self.0.access_token().await
    }
}

impl Login {
    async fn access_token(&self) -> Result<String, BQError> {
        let Self::Google(credentials) = self else { return Ok("emulator".to_owned()) };
        let token = credentials.token(CLOUD_PLATFORM, Utc::now()).await;
        token.map(|token| token.value).map_err(|error| {
            tracing::warn!(%error, "no Google access token");
            BQError::InvalidApplicationDefaultCredentialsAuthenticator(std::io::Error::other(error))
        })
    }
}

/// A job that has ended well.
pub(super) struct Done {
    pub(super) job: Job,
    id: String,
    location: Option<String>,
}

impl Api {
    pub(super) fn new(options: Options) -> Self {
        // On this machine nothing is gained by patience.
        let scale = if options.needs_login { 1 } else { 50 };
        let pauses = (FIRST_PAUSE / scale, LONGEST_PAUSE / scale);
        Self { options, connected: OnceCell::new(), pauses }
    }

    pub(super) async fn connected(&self) -> Result<&Connected, Error> {
        self.connected.get_or_try_init(|| self.connect()).await
    }

    async fn connect(&self) -> Result<Connected, Error> {
        let login = if self.options.needs_login {
            Login::Google(Credentials::from_environment().map_err(|error| login_error(&error))?)
        } else {
            Login::Emulator
        };
        let login = Arc::new(login);
        let http =
            reqwest::Client::builder().timeout(REQUEST_TIMEOUT).connect_timeout(CONNECT_TIMEOUT).build();
        let http = http.map_err(|error| of_api(BQError::RequestError(error), "connect"))?;
        let client = ClientBuilder::new()
            .with_v2_base_url(format!("{}/bigquery/v2", self.options.api))
            .with_client(http.clone())
            .build_from_authenticator(Arc::new(Tokens(Arc::clone(&login))))
            .await
            .map_err(|error| of_api(error, "connect"))?;
        Ok(Connected { client, http, login })
    }

    /// Asks again while the answer is one that passes soon.
    pub(super) async fn patiently<T, F: Future<Output = Result<T, Error>>>(
        &self,
        mut ask: impl FnMut() -> F,
    ) -> Result<T, Error> {
        let (mut pause, longest) = self.pauses;
        for attempt in 1.. {
            match ask().await {
                Err(Error::BigQuery { refusal, message, .. }) if refusal.passes_soon() && attempt < TRIES => {
                    tracing::debug!(attempt, message, "BigQuery is busy, asking again");
                    sleep(pause).await;
                    pause = longest.min(pause * 2);
                }
                outcome => return outcome,
            }
        }
        unreachable!("the last try returns")
    }

    /// Starts the job under `id`, or finds the one that an earlier request started, and waits for its end.
    pub(super) async fn run(
        &self,
        id: &str,
        mut configuration: JobConfiguration,
        what: &str,
    ) -> Result<Done, Error> {
        configuration.labels = Some(labels::current());
        configuration.job_timeout_ms = Some(JOB_TIMEOUT.as_millis().to_string());
        let reference = JobReference {
            job_id: Some(id.to_owned()),
            location: self.options.location.clone(),
            project_id: Some(self.options.project.clone()),
        };
        let job =
            Job { configuration: Some(configuration), job_reference: Some(reference), ..Job::default() };
        let client = &self.connected().await?.client;
        let mut guard = CancelOnDrop::new(client.clone(), &self.options, id);
        let started = self
            .patiently(|| async {
                let inserted = client.job().insert(&self.options.project, job.clone()).await;
                match inserted.map_err(|error| of_api(error, what)) {
                    Err(Error::BigQuery { refusal: Refusal::AlreadyExists, .. }) => self.job(id, what).await,
                    other => other,
                }
            })
            .await;
        let ended = match started {
            Ok(job) => self.ended(job, id, what).await,
            Err(error) => Err(error),
        };
        guard.disarm();
        let job = ended?;
        let location = job.job_reference.as_ref().and_then(|reference| reference.location.clone());
        Ok(Done { job, id: id.to_owned(), location: location.or_else(|| self.options.location.clone()) })
    }

    async fn job(&self, id: &str, what: &str) -> Result<Job, Error> {
        let client = &self.connected().await?.client;
        let location = self.options.location.as_deref();
        client.job().get_job(&self.options.project, id, location).await.map_err(|error| of_api(error, what))
    }

    async fn ended(&self, mut job: Job, id: &str, what: &str) -> Result<Job, Error> {
        let (mut pause, longest) = self.pauses;
        loop {
            let status = job.status.clone().unwrap_or_default();
            if status.state.as_deref() == Some("DONE") {
                return match status.error_result {
                    Some(error) => Err(of_job(&error, what)),
                    None => Ok(job),
                };
            }
            // BigQuery ends it after JOB_TIMEOUT at the latest.
            sleep(pause).await;
            pause = longest.min(pause * 2);
            job = self.patiently(|| self.job(id, what)).await?;
        }
    }

    /// Runs a query or script under an id of its own.
    pub(super) async fn query(
        &self,
        script: Script,
        what: &str,
        change: impl FnOnce(&mut JobConfigurationQuery),
    ) -> Result<Done, Error> {
        let mut query = JobConfigurationQuery {
            query: script.sql,
            use_legacy_sql: Some(false),
            maximum_bytes_billed: self.options.max_bytes_billed.map(|limit| limit.to_string()),
            ..JobConfigurationQuery::default()
        };
        if !script.params.is_empty() {
            query.parameter_mode = Some("NAMED".to_owned());
            query.query_parameters = Some(script.params);
        }
        change(&mut query);
        let id = format!("streamify_{}", uuid::Uuid::new_v4().simple());
        let configuration = JobConfiguration { query: Some(query), ..JobConfiguration::default() };
        self.run(&id, configuration, what).await
    }

    /// All rows of an ended query, or [`Error::TooManyRows`].
    pub(super) async fn rows(&self, done: &Done, statement: &str, limit: usize) -> Result<Rows, Error> {
        let mut rows = Rows::default();
        let mut token = None;
        loop {
            let page = self.page(done, statement, token.take()).await?;
            let fields = page.schema.and_then(|schema| schema.fields).unwrap_or_default();
            if rows.columns.is_empty() {
                rows.columns = values::columns(&fields);
            }
            let total = page.total_rows.as_deref().and_then(|total| total.parse::<usize>().ok());
            let page_rows = page.rows.unwrap_or_default();
            if total.unwrap_or_default() > limit || rows.rows.len() + page_rows.len() > limit {
                return Err(Error::TooManyRows { statement: sql::first_line(statement), limit });
            }
            rows.rows.extend(page_rows.into_iter().map(|row| values::row(&fields, row)));
            token = page.page_token.filter(|token| !token.is_empty());
            if token.is_none() {
                return Ok(rows);
            }
        }
    }

    /// How many rows the ended statement changed, as far as BigQuery says.
    pub(super) async fn changed(&self, done: &Done, statement: &str) -> Result<u64, Error> {
        let counted = |job: &Job| job.statistics.as_ref()?.query.as_ref()?.num_dml_affected_rows.clone();
        let count = match counted(&done.job) {
            Some(count) => Some(count),
            None => counted(&self.patiently(|| self.job(&done.id, statement)).await?),
        };
        Ok(count.and_then(|count| count.parse().ok()).unwrap_or_default())
    }

    async fn page(
        &self,
        done: &Done,
        statement: &str,
        token: Option<String>,
    ) -> Result<GetQueryResultsResponse, Error> {
        let client = &self.connected().await?.client;
        let parameters = GetQueryResultsParameters {
            location: done.location.clone(),
            max_results: Some(PAGE),
            page_token: token,
            timeout_ms: Some(POLL),
            ..GetQueryResultsParameters::default()
        };
        let what = sql::first_line(statement);
        self.patiently(|| async {
            let page =
                client.job().get_query_results(&self.options.project, &done.id, parameters.clone()).await;
            page.map_err(|error| of_api(error, &what))
        })
        .await
    }
}

fn login_error(error: &google::Error) -> Error {
    Error::BigQuery { refusal: Refusal::Login, message: error.to_string(), statement: "login".to_owned() }
}

/// Cancels the job when the future that waits for it is dropped: nobody would look at what it does, but somebody would pay.
struct CancelOnDrop(Option<(Client, String, String, Option<String>)>);

impl CancelOnDrop {
    fn new(client: Client, options: &Options, id: &str) -> Self {
        Self(Some((client, options.project.clone(), id.to_owned(), options.location.clone())))
    }

    fn disarm(&mut self) {
        self.0 = None;
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        let Some((client, project, id, location)) = self.0.take() else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            if let Err(error) = client.job().cancel_job(&project, &id, location.as_deref()).await {
                tracing::debug!(%error, id, "the job could not be cancelled");
            }
        });
    }
}
