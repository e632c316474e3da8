//! `streamify doctor`: each part looked at, and what to do where something is wrong.

use crate::config::Config;
use crate::{limits, logins, node, node_health, offline, output};
use anyhow::{Result, bail};
use kafka::{Access, Asker};
use serde::Serialize;
use std::process::ExitCode;
use std::time::Duration;

const KAFKA_TIMEOUT: Duration = Duration::from_secs(10);
const WAREHOUSE_TIMEOUT: Duration = Duration::from_secs(60);
/// Less free space than this is a warning.
const FREE_BYTES_WANTED: u64 = 1 << 30;

#[derive(Serialize)]
struct Finding {
    part: &'static str,
    is_fine: bool,
    /// It works, and may not for long.
    is_warning: bool,
    said: String,
    /// All that was found, for programs.
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<serde_json::Value>,
}

pub async fn run(mut config: Config) -> Result<ExitCode> {
    let mut findings = vec![data_folder(&config), disk(&config), dags(&config)];
    findings.extend([warning("files", limits::open_files()), warning("memory", limits::memory())]);
    findings.extend(database(&mut config).await);
    let access = logins::kafka(&config);
    findings.extend(google(&config, access.as_ref().ok().and_then(Option::as_ref)).await);
    findings.push(finding("kafka", kafka(access).await));
    findings.push(lake(&config).await);
    findings.push(warehouse(&config).await);
    let is_fine = findings.iter().all(|finding| finding.is_fine);
    if config.json {
        output::json(&findings)?;
    } else {
        let rows = findings.iter().map(|finding| {
            let state = match (finding.is_fine, finding.is_warning) {
                (false, _) => "FAIL",
                (true, true) => "warn",
                (true, false) => "ok",
            };
            vec![state.to_string(), finding.part.to_string(), finding.said.clone()]
        });
        println!("{}", output::table(&["state", "part", "what"], rows));
    }
    Ok(output::status(is_fine))
}

fn finding(part: &'static str, result: Result<String>) -> Finding {
    match result {
        Ok(said) => Finding { part, is_fine: true, is_warning: false, said, details: None },
        Err(error) => {
            Finding { part, is_fine: false, is_warning: false, said: format!("{error:#}"), details: None }
        }
    }
}

/// What is low, but not a fault.
fn warning(part: &'static str, result: Result<String>) -> Finding {
    let is_warning = result.is_err();
    Finding { is_fine: true, is_warning, ..finding(part, result) }
}

fn data_folder(config: &Config) -> Finding {
    let folder = config.data_dir();
    let write = || -> Result<String> {
        std::fs::create_dir_all(&folder)?;
        let probe = folder.join(format!("doctor-{}", std::process::id()));
        std::fs::write(&probe, "probe")?;
        std::fs::remove_file(&probe)?;
        Ok(format!("{} is writable", folder.display()))
    };
    finding(
        "data",
        write().map_err(|error| {
            anyhow::anyhow!("{}: {error}; name another folder with --data", folder.display())
        }),
    )
}

fn disk(config: &Config) -> Finding {
    let folder = config.data_dir();
    let free = node_health::free_bytes(&folder);
    finding(
        "disk",
        match free {
            Some(free) if free >= FREE_BYTES_WANTED => {
                Ok(format!("{:.1} GiB free", free as f64 / (1u64 << 30) as f64))
            }
            Some(free) => {
                Err(anyhow::anyhow!("only {} MiB free in {}: make room", free >> 20, folder.display()))
            }
            None => Err(anyhow::anyhow!("{} cannot be looked at", folder.display())),
        },
    )
}

fn dags(config: &Config) -> Finding {
    let look = || -> Result<String> {
        let root = config.dags_dir();
        let (registry, mut wrong) = offline::checked(&root)?;
        let mut fine = 0;
        for file in engine::dag_files(&root)? {
            let bytes = std::fs::read(&file)?;
            match model::spec::read(
                &file.display().to_string(),
                &bytes,
                file.parent().unwrap_or(&root),
                &registry,
            ) {
                Ok(_) => fine += 1,
                Err(problems) => wrong.extend(problems),
            }
        }
        match wrong.first() {
            None => Ok(format!("{fine} files, no problems")),
            Some(first) => Err(anyhow::anyhow!(
                "{} problems, the first: {first}\n  see `streamify dag validate`",
                wrong.len()
            )),
        }
    };
    finding("dags", look())
}

async fn database(config: &mut Config) -> Vec<Finding> {
    let store = match node::connect(config).await {
        Ok(store) => store,
        Err(error) => return vec![finding("postgres", Err(error))],
    };
    let shared = node::share_settings(config, &store).await;
    let mut postgres = finding(
        "postgres",
        shared.map(|()| format!("answers, schema is there; login by {}", logins::database_login(config))),
    );
    // The clock of this process may be wrong; heartbeats were written with the database's.
    let health = async {
        let now = store.clock().await?;
        store.health(now).await.map(|health| (health, now))
    };
    let (health, now) = match health.await {
        Ok(found) => found,
        Err(error) => return vec![postgres, finding("engine", Err(error.into()))],
    };
    postgres.details = serde_json::to_value(&health).ok();
    let parts = web::health::parts(&health, now).into_iter().filter(|part| part.name != "database");
    let of_engine = parts.map(|part| Finding {
        part: part.name,
        is_fine: part.healthy,
        is_warning: false,
        said: part.words,
        details: None,
    });
    std::iter::once(postgres).chain(of_engine).collect()
}

/// Only where something uses it.
async fn google(config: &Config, kafka: Option<&Access>) -> Option<Finding> {
    let users = logins::google_users(config, kafka);
    if users.is_empty() {
        return None;
    }
    let identity = logins::google_identity().await;
    let said = identity.map(|who| format!("{who} has a token, for {}", users.join(", ")));
    Some(finding("google", said.map_err(|error| error.context(format!("needed for {}", users.join(", "))))))
}

/// That the brokers name themselves proves that they are reached and let us in.
async fn kafka(access: Result<Option<Access>>) -> Result<String> {
    let Some(access) = access? else {
        bail!("not known: set KAFKA_BOOTSTRAP_SERVERS, or start `streamify up`")
    };
    let who = access.principal().await?.map(|who| format!(" as {who}")).unwrap_or_default();
    let said = format!("{access}{who}");
    let asked =
        tokio::task::spawn_blocking(move || Asker::new(&access, "streamify-doctor")?.brokers(KAFKA_TIMEOUT));
    let brokers = asked.await??;
    Ok(format!("{said}: answers, {brokers} broker{}", if brokers == 1 { "" } else { "s" }))
}

async fn lake(config: &Config) -> Finding {
    let url = node::lake_url(config);
    let look = async {
        let lake = lake::Lake::open(&url)?;
        let topics = lake.topics().await?;
        Ok(format!("{url}: {} topics", topics.len()))
    };
    finding("lake", look.await)
}

async fn warehouse(config: &Config) -> Finding {
    let url = node::warehouse_url(config);
    let opened = tokio::task::spawn_blocking({
        let url = url.clone();
        move || warehouse::open(&url)
    })
    .await;
    let result = match opened {
        Ok(Ok(opened)) => match tokio::time::timeout(WAREHOUSE_TIMEOUT, opened.describe()).await {
            Ok(Ok(said)) => Ok(format!("{url}: {said}")),
            Ok(Err(error)) => Err(anyhow::anyhow!("{url}: {error}")),
            Err(_) => Err(anyhow::anyhow!("{url} does not answer; is it reachable from here?")),
        },
        Ok(Err(warehouse::Error::Owned { pid, .. })) => Ok(format!(
            "{url} is open in process {}",
            pid.map_or_else(|| "?".to_string(), |pid| pid.to_string())
        )),
        Ok(Err(error)) => Err(anyhow::anyhow!("{error}")),
        Err(error) => Err(anyhow::anyhow!("{error}")),
    };
    finding("warehouse", result)
}
