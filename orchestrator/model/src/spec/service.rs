//! `service:`: how it is restarted, asked and stopped.

use super::fields::{Fields, Reader};
use super::retries::RETRIES_MAX;
use super::yaml::{Data, Node};
use crate::dag::{Restart, Service};
use crate::probe::{Ask, Liveness, Probe};
use crate::retry::RetryPolicy;
use crate::template;
use std::time::Duration;

pub(super) const SERVICE_KEYS: [&str; 5] = ["ready", "live", "ready_timeout", "restart", "stop"];
pub(super) const RESTART_KEYS: [&str; 3] = ["policy", "budget", "backoff"];
pub(super) const STOP_KEYS: [&str; 2] = ["signal", "grace"];
pub(super) const READY_KEYS: [&str; 6] = ["http", "tcp", "log", "lag", "every", "timeout"];
pub(super) const LIVE_KEYS: [&str; 6] = ["http", "tcp", "lag", "every", "timeout", "failures"];
pub(super) const LAG_KEYS: [&str; 1] = ["at_most"];
const SIGNALS: [&str; 4] = ["TERM", "INT", "HUP", "QUIT"];
const FAILURES: u32 = 3;
const FAILURES_MAX: u32 = 1000;

pub(super) struct ReadService<'n> {
    pub service: Service,
    /// How long it waits between restarts.
    pub delays: RetryPolicy,
    /// Texts that may be templates.
    pub texts: Vec<&'n Node>,
}

impl Default for ReadService<'_> {
    fn default() -> Self {
        let delays = RetryPolicy {
            limit: 0,
            delay: Duration::from_secs(1),
            backoff: 2.0,
            max_delay: Duration::from_secs(60),
        };
        ReadService { service: Service::default(), delays, texts: Vec::new() }
    }
}

pub(super) fn read<'n>(reader: &mut Reader, node: &'n Node) -> Option<ReadService<'n>> {
    let mut read = ReadService::default();
    let fields = reader.fields(node, "service", &SERVICE_KEYS)?;
    if let Some(node) = fields.get("restart") {
        restart(reader, node, &mut read.service, &mut read.delays);
    }
    if let Some(stop) = fields.get("stop").and_then(|node| reader.fields(node, "stop", &STOP_KEYS)) {
        if let Some(grace) = stop.get("grace").and_then(|node| reader.duration(node, "grace")) {
            read.service.stop_grace = grace;
        }
        let words = SIGNALS.map(|name| (name, name));
        let signal = stop.get("signal").and_then(|node| reader.word(node, "signal", &words));
        read.service.stop_signal = signal.map(str::to_owned);
    }
    if let Some(timeout) = fields.get("ready_timeout").and_then(|node| reader.period(node, "ready_timeout")) {
        read.service.ready_timeout = timeout;
    }
    if let Some(ready) = fields.get("ready").and_then(|node| reader.fields(node, "ready", &READY_KEYS)) {
        let every = Duration::from_secs(1);
        read.service.ready = probe(reader, &ready, "'ready'", &READY_KEYS[..4], every, &mut read.texts);
    }
    if let Some(live) = fields.get("live").and_then(|node| reader.fields(node, "live", &LIVE_KEYS)) {
        let every = Duration::from_secs(10);
        let failures = live.get("failures").and_then(|node| reader.count(node, "failures", 1, FAILURES_MAX));
        let probe = probe(reader, &live, "'live'", &LIVE_KEYS[..3], every, &mut read.texts);
        read.service.live = probe.map(|probe| Liveness { probe, failures: failures.unwrap_or(FAILURES) });
    }
    Some(read)
}

fn probe<'n>(
    reader: &mut Reader,
    fields: &Fields<'n>,
    what: &str,
    asks: &[&'static str],
    every: Duration,
    texts: &mut Vec<&'n Node>,
) -> Option<Probe> {
    let every = fields.get("every").map_or(Some(every), |node| reader.duration(node, "every"));
    let timeout = Duration::from_secs(2);
    let timeout = fields.get("timeout").map_or(Some(timeout), |node| reader.duration(node, "timeout"));
    for (name, value) in [("every", every), ("timeout", timeout)] {
        if value.is_some_and(|value| value < Duration::from_millis(50)) {
            reader.problem(fields.key_at(name), format!("'{name}' must be at least 50ms"), None);
        }
    }
    let key = reader.one_of(fields, what, asks)?;
    let node = fields.get(key)?;
    let ask = match key {
        "lag" => lag(reader, node)?,
        _ => {
            let text = reader.text(node, key)?;
            check_ask(reader, node, key, text);
            if key != "log" {
                texts.push(node);
            }
            match key {
                "http" => Ask::Http(text.to_owned()),
                "tcp" => Ask::Tcp(text.to_owned()),
                _ => Ask::Log(text.to_owned()),
            }
        }
    };
    Some(Probe { ask, every: every?, timeout: timeout? })
}

fn check_ask(reader: &mut Reader, node: &Node, key: &str, text: &str) {
    let is_url = || text.starts_with("http://") || text.starts_with("https://");
    let is_address =
        || text.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    match key {
        "http" if !template::is_template(text) && !is_url() => {
            let hint = Some("begin it with http:// or https://".to_owned());
            reader.problem(node.at, format!("'{text}' is no URL"), hint);
        }
        "tcp" if !template::is_template(text) && !is_address() => {
            let hint = Some("write it like 127.0.0.1:8080".to_owned());
            reader.problem(node.at, format!("'{text}' is no address with a port"), hint);
        }
        "log" => {
            if let Err(error) = regex::Regex::new(text) {
                let message = format!("'{text}' is no regular expression: {}", last_line(&error.to_string()));
                reader.problem(node.at, message, None);
            }
        }
        _ => {}
    }
}

/// The parser of expressions draws a picture first.
fn last_line(error: &str) -> &str {
    error.lines().last().unwrap_or_default().trim_start_matches("error: ")
}

fn lag(reader: &mut Reader, node: &Node) -> Option<Ask> {
    let fields = reader.fields(node, "lag", &LAG_KEYS)?;
    let Some(node) = fields.get("at_most") else {
        let hint = Some("lag: { at_most: 1000 }".to_owned());
        reader.problem(fields.at, "'at_most' is missing in lag".to_owned(), hint);
        return None;
    };
    let most = reader.integer(node, "at_most", 0, i64::MAX)?;
    u64::try_from(most).ok().map(Ask::Lag)
}

fn restart(reader: &mut Reader, node: &Node, service: &mut Service, delays: &mut RetryPolicy) {
    let words = [("always", Restart::Always), ("on-failure", Restart::OnFailure), ("never", Restart::Never)];
    if let Data::Text(_) = node.data {
        service.restart = reader.word(node, "restart", &words).unwrap_or(service.restart);
        return;
    }
    let Some(fields) = reader.fields(node, "restart", &RESTART_KEYS) else { return };
    if let Some(policy) = fields.get("policy").and_then(|node| reader.word(node, "policy", &words)) {
        service.restart = policy;
    }
    if let Some(node) = fields.get("budget") {
        match budget(node) {
            Some((budget, period)) => (service.budget, service.period) = (budget, period),
            None => {
                let hint = Some("write it like '5 in 10m'".to_owned());
                reader.problem(node.at, "'budget' must be a number of restarts in a time".to_owned(), hint);
            }
        }
    }
    if let Some(delay) = fields.get("backoff").and_then(|node| reader.duration(node, "backoff")) {
        delays.delay = delay;
        delays.max_delay = delays.max_delay.max(delay);
    }
}

fn budget(node: &Node) -> Option<(u32, Duration)> {
    let Data::Text(text) = &node.data else { return None };
    let (count, period) = text.split_once(" in ")?;
    let count = count.trim().parse().ok().filter(|count| *count <= RETRIES_MAX)?;
    let period = crate::duration::parse(period).ok().filter(|period| *period >= Duration::from_secs(1))?;
    Some((count, period))
}
