//! `streamify doctor`: each part looked at, and what to do where something is wrong.

use crate::clock::SystemClock;
use crate::config::Config;
use crate::{node, offline, output};
use anyhow::Result;
use model::Clock;
use serde::Serialize;
use std::process::ExitCode;
use std::time::Duration;

const KAFKA_TIMEOUT: Duration = Duration::from_secs(10);
/// Less free space than this is a warning.
const FREE_BYTES_WANTED: u64 = 1 << 30;

#[derive(Serialize)]
struct Finding {
    part: &'static str,
    is_fine: bool,
    said: String,
}

pub async fn run(mut config: Config) -> Result<ExitCode> {
    let mut findings = vec![data_folder(&config), disk(&config), dags(&config)];
    findings.extend(database(&mut config).await);
    findings.push(kafka(&config).await);
    findings.push(lake(&config).await);
    findings.push(warehouse(&config).await);
    let is_fine = findings.iter().all(|finding| finding.is_fine);
    if config.json {
        output::json(&findings)?;
    } else {
        for finding in &findings {
            println!(
                "{}  {:<10} {}",
                if finding.is_fine { "ok  " } else { "FAIL" },
                finding.part,
                finding.said
            );
        }
    }
    Ok(output::status(is_fine))
}

fn finding(part: &'static str, result: Result<String>) -> Finding {
    match result {
        Ok(said) => Finding { part, is_fine: true, said },
        Err(error) => Finding { part, is_fine: false, said: format!("{error:#}") },
    }
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
    let free =
        nix::sys::statvfs::statvfs(&folder).map(|stats| stats.blocks_available() * stats.fragment_size());
    finding(
        "disk",
        match free {
            Ok(free) if free >= FREE_BYTES_WANTED => {
                Ok(format!("{:.1} GiB free", free as f64 / (1u64 << 30) as f64))
            }
            Ok(free) => {
                Err(anyhow::anyhow!("only {} MiB free in {}: make room", free >> 20, folder.display()))
            }
            Err(error) => Err(anyhow::anyhow!("{}: {error}", folder.display())),
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
    let health = async {
        let health = store.health(SystemClock.now()).await?;
        Ok(serde_json::to_string(&health)?)
    };
    vec![
        finding("postgres", shared.map(|()| "answers, schema is there".to_string())),
        finding("engine", health.await),
    ]
}

async fn kafka(config: &Config) -> Finding {
    let brokers = config.text("kafka_bootstrap_servers");
    if brokers.is_empty() {
        return finding(
            "kafka",
            Err(anyhow::anyhow!("not known: set KAFKA_BOOTSTRAP_SERVERS, or start `streamify up`")),
        );
    }
    let asked =
        tokio::time::timeout(KAFKA_TIMEOUT, stream::offsets(brokers, &["watermarks".to_string()])).await;
    let result = match asked {
        Ok(Ok(_)) => Ok(format!("{brokers} answers")),
        Ok(Err(error)) => Err(anyhow::anyhow!("{brokers}: {error}")),
        Err(_) => Err(anyhow::anyhow!("{brokers} does not answer; is it up, and reachable from here?")),
    };
    finding("kafka", result)
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
        Ok(Ok(_)) => Ok(format!("{url} opens")),
        Ok(Err(warehouse::Error::Owned { pid, .. })) => Ok(format!(
            "{url} is open in process {}",
            pid.map_or_else(|| "?".to_string(), |pid| pid.to_string())
        )),
        Ok(Err(error)) => Err(anyhow::anyhow!("{error}")),
        Err(error) => Err(anyhow::anyhow!("{error}")),
    };
    finding("warehouse", result)
}
