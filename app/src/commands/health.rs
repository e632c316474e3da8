//! `streamify health`: is the node of this machine alive? For health checks of containers and supervisors: one line, exit status 0 or 1.
//!
//! A node is alive while the shared database hears of it, and, if it has pages, while these answer. What is wrong elsewhere (no scheduler,
//! say) is not its fault: that is `streamify doctor`.

use crate::addresses::from_here;
use crate::cli::HealthArgs;
use crate::config::Config;
use crate::{node, output};
use anyhow::{Context, Result, bail};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use std::net::Ipv4Addr;
use std::process::ExitCode;
use std::time::Duration;
use store::views::health::NodeHealth;
use url::Url;

/// Less than the time-out of the image's HEALTHCHECK, so that the reason is told.
const PATIENCE: Duration = Duration::from_secs(8);
const PATH: &str = "/api/v2/monitor/health";

/// A node as the database knows it.
struct Known<'a> {
    name: &'a str,
    host: &'a str,
    http_url: Option<&'a str>,
    last_seen_at: DateTime<Utc>,
}

pub async fn run(config: Config, arguments: HealthArgs) -> Result<ExitCode> {
    let look = async {
        match &arguments.url {
            Some(url) => answers(url).await,
            None => own_node(&config).await,
        }
    };
    let outcome = tokio::time::timeout(PATIENCE, look).await;
    let outcome = outcome
        .unwrap_or_else(|_| Err(anyhow::anyhow!("no answer within {} s", PATIENCE.as_secs())))
        .map_err(|error| format!("{error:#}"));
    let (is_fine, said) = match &outcome {
        Ok(said) => (true, said),
        Err(said) => (false, said),
    };
    if config.json {
        output::json(&json!({ "healthy": is_fine, "said": said }))?;
    } else {
        println!("{}: {said}", if is_fine { "healthy" } else { "unhealthy" });
    }
    Ok(output::status(is_fine))
}

async fn own_node(config: &Config) -> Result<String> {
    let store = node::connect(config).await?;
    // The clock of this process may be wrong; heartbeats are written with the database's.
    let now = store.clock().await?;
    let health = store.health(now).await?;
    let live: Vec<Known<'_>> =
        health.nodes.iter().filter(|node| node.ended_at.is_none()).map(known).collect();
    let lease = TimeDelta::seconds(config.parsed("lease_seconds")?);
    let host = node::host_name();
    let node = alive(&live, config.optional("node_name"), &host, now, lease)?;
    let Some(url) = node.http_url else { return Ok(format!("{} is alive", node.name)) };
    answers(&own_pages(config, url, &host)?).await?;
    Ok(format!("{} is alive, its pages answer", node.name))
}

/// Where this node's pages are for this machine. What is advertised may be a proxy, which proves nothing about the node.
fn own_pages(config: &Config, url: &str, host: &str) -> Result<String> {
    if config.optional("advertise_url").is_some() {
        return Ok(from_here(config.parsed("host")?, config.parsed("port")?));
    }
    let parsed = Url::parse(url).with_context(|| url.to_string())?;
    let port = parsed.port_or_known_default().filter(|_| parsed.host_str() == Some(host));
    Ok(port.map_or_else(|| url.to_string(), |port| from_here(Ipv4Addr::UNSPECIFIED.into(), port)))
}

fn known(node: &NodeHealth) -> Known<'_> {
    Known {
        name: &node.name,
        host: &node.host,
        http_url: node.http_url.as_deref(),
        last_seen_at: node.last_seen_at,
    }
}

/// The node of that name, or the one of this host that was heard of last.
fn alive<'a>(
    live: &'a [Known<'a>],
    name: Option<&str>,
    host: &str,
    now: DateTime<Utc>,
    lease: TimeDelta,
) -> Result<&'a Known<'a>> {
    let own = live.iter().filter(|node| match name {
        Some(name) => node.name == name,
        None => node.host == host,
    });
    let Some(node) = own.max_by_key(|node| node.last_seen_at) else {
        bail!(
            "the database knows no live node {}",
            name.map_or(format!("on {host}"), |name| format!("`{name}`"))
        );
    };
    let silent = now - node.last_seen_at;
    if silent > lease {
        bail!("{} was last heard of {} s ago", node.name, silent.num_seconds());
    }
    Ok(node)
}

async fn answers(base: &str) -> Result<String> {
    let url = format!("{}{PATH}", base.trim_end_matches('/'));
    let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build()?;
    let answer = client.get(&url).send().await.with_context(|| format!("{url} does not answer"))?;
    let status = answer.status();
    if !status.is_success() {
        bail!("{url} answers {status}: {}", answer.text().await.unwrap_or_default().trim());
    }
    Ok(format!("{url} answers"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    fn seen<'a>(name: &'a str, host: &'a str, seconds: i64) -> Known<'a> {
        Known { name, host, http_url: None, last_seen_at: at(seconds) }
    }

    fn judge(live: &[Known<'_>], name: Option<&str>) -> Result<String, String> {
        let judged = alive(live, name, "here", at(100), TimeDelta::seconds(30));
        judged.map(|node| node.name.to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_node_that_was_not_heard_of_for_a_lease_is_not_alive() {
        assert_eq!(judge(&[seen("a", "here", 70)], None), Ok("a".to_string()));
        let error = judge(&[seen("a", "here", 69)], None).unwrap_err();
        assert!(error.contains("a was last heard of 31 s ago"), "{error}");
    }

    #[test]
    fn only_the_node_of_this_host_counts_or_the_one_that_is_named() {
        let live = [seen("a", "here", 10), seen("b", "here", 99), seen("c", "there", 100)];
        assert_eq!(judge(&live, None), Ok("b".to_string()));
        assert_eq!(judge(&live, Some("c")), Ok("c".to_string()));
        assert!(judge(&live, Some("a")).unwrap_err().contains("90 s ago"));
        assert!(judge(&live, Some("d")).unwrap_err().contains("no live node `d`"));
        assert!(judge(&live[2..], None).unwrap_err().contains("no live node on here"));
    }
}
