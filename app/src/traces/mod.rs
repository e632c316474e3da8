//! Spans of runs and attempts, sent by OTLP (HTTP, protobuf) where an endpoint is set.
//!
//! The engine hands over spans that have ended and numbers of runs that have; a task of its own makes requests of them. Nobody ever
//! waits for it: what the queue has no room for, or the receiver does not take, is counted and dropped.

mod encode;
mod queue;
mod send;

pub use queue::{Flow, Traces};

use crate::config::Config;
use anyhow::{Context, Result, bail};
use chrono::{DateTime, Utc};
use model::trace;
use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use send::Sender;
use std::time::Duration;
use store::Store;

/// How to start, if traces are wanted.
pub struct Settings {
    url: Url,
    headers: HeaderMap,
    timeout: Duration,
    /// `service.name` and the like.
    resource: Vec<(String, String)>,
    share: trace::Share,
}

impl Settings {
    /// # Errors
    /// Names the setting that cannot be used.
    pub fn of(config: &Config, node: &str, host: &str) -> Result<Option<Settings>> {
        let whole = config.optional("otlp_traces_endpoint").map(str::to_string);
        let below = config.optional("otlp_endpoint");
        let below = below.map(|base| format!("{}/v1/traces", base.trim_end_matches('/')));
        let Some(url) = whole.or(below) else { return Ok(None) };
        let protocol = config.text("otlp_protocol");
        if protocol != "http/protobuf" {
            bail!("otlp_protocol = {protocol:?}: only http/protobuf is there (port 4318 of most collectors)");
        }
        let url: Url = url.parse().with_context(|| format!("otlp_endpoint: {url}"))?;
        if !matches!(url.scheme(), "http" | "https") {
            bail!("otlp_endpoint: expected http:// or https://, not {}:", url.scheme());
        }
        let mut resource = vec![
            ("service.name".to_string(), config.text("service_name").to_string()),
            ("service.version".to_string(), env!("CARGO_PKG_VERSION").to_string()),
            ("service.instance.id".to_string(), node.to_string()),
            ("host.name".to_string(), host.to_string()),
        ];
        for (name, value) in pairs(config.text("resource_attributes"), "resource_attributes")? {
            resource.retain(|(known, _)| *known != name);
            resource.push((name, value));
        }
        let timeout = Duration::from_millis(config.parsed("otlp_timeout_ms")?);
        let share = share(config.text("traces_sampler"), config.text("traces_sampler_arg"))?;
        let headers = headers(config.text("otlp_headers"))?;
        Ok(Some(Settings { url, headers, timeout, resource, share }))
    }

    /// Starts the task that sends. It goes on until [`Flow::finish`].
    pub async fn start(self, store: Store, http: reqwest::Client, now: DateTime<Utc>) -> Result<Flow> {
        let traces = trace::Traces::of(store.platform_id(now).await?).sampled(self.share);
        tracing::info!("traces go to {}", self.url.origin().ascii_serialization());
        let sender = Sender { http, url: self.url, headers: self.headers, timeout: self.timeout };
        Ok(queue::start(traces, store, sender, encode::resource(&self.resource)))
    }
}

/// A run has no parent, so the samplers that ask it first come to the same.
fn share(sampler: &str, argument: &str) -> Result<trace::Share> {
    match sampler.strip_prefix("parentbased_").unwrap_or(sampler) {
        "always_on" => Ok(trace::Share::ALL),
        "always_off" => Ok(trace::Share::NONE),
        "traceidratio" => {
            let part = if argument.is_empty() { Some(1.0) } else { argument.parse().ok() };
            let share = part.and_then(trace::Share::of);
            share.with_context(|| format!("traces_sampler_arg = {argument:?}: expected a number from 0 to 1"))
        }
        _ => bail!(
            "traces_sampler = {sampler:?}: there are always_on, always_off, traceidratio, each also with parentbased_ before it"
        ),
    }
}

/// Values may be percent-encoded, as the standard says; an error does not repeat them.
fn pairs(text: &str, setting: &str) -> Result<Vec<(String, String)>> {
    let given = text.split(',').map(str::trim).filter(|pair| !pair.is_empty());
    let pair = |pair: &str| {
        let (name, value) =
            pair.split_once('=').with_context(|| format!("{setting}: expected name=value,name=value"))?;
        Ok((name.trim().to_string(), decoded(value.trim())))
    };
    given.map(pair).collect()
}

fn decoded(text: &str) -> String {
    // Of the query form only the percent signs are meant here.
    let query = format!("x={}", text.replace('+', "%2B").replace('&', "%26"));
    url::form_urlencoded::parse(query.as_bytes())
        .next()
        .map_or_else(String::new, |(_, value)| value.into_owned())
}

fn headers(text: &str) -> Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs(text, "otlp_headers")? {
        let name: HeaderName =
            name.parse().with_context(|| format!("otlp_headers: {name:?} is no name of a header"))?;
        let mut value = HeaderValue::from_str(&value)
            .with_context(|| format!("otlp_headers: the value of {name} cannot be sent"))?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samplers_are_named_as_the_standard_has_them() {
        for (sampler, argument, expected) in [
            ("parentbased_always_on", "", trace::Share::ALL),
            ("always_off", "", trace::Share::NONE),
            ("traceidratio", "", trace::Share::ALL),
            ("parentbased_traceidratio", "0", trace::Share::NONE),
            ("traceidratio", "0.25", trace::Share::of(0.25).unwrap()),
        ] {
            assert_eq!(share(sampler, argument).unwrap(), expected, "{sampler} {argument}");
        }
        for (sampler, argument, why) in [
            ("traceidratio", "25", "from 0 to 1"),
            ("traceidratio", "a", "from 0 to 1"),
            ("jaeger_remote", "", "always_on"),
        ] {
            assert!(share(sampler, argument).unwrap_err().to_string().contains(why), "{sampler} {argument}");
        }
    }

    #[test]
    fn headers_are_read_as_the_standard_writes_them() {
        let headers = headers("api-key=a%20b+c&d, x-team = data=1 ,").unwrap();
        assert_eq!(headers["api-key"], "a b+c&d");
        assert_eq!(headers["x-team"], "data=1");
        let error = pairs("api-key hush", "otlp_headers").unwrap_err().to_string();
        assert!(error.contains("name=value") && !error.contains("hush"), "{error}");
    }
}
