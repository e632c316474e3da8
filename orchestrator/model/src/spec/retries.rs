//! `retries:` of a task, a group, a dag or all tasks: a number, or a mapping.

use super::fields::Reader;
use super::yaml::{Data, Node};
use crate::retry::RetryPolicy;

pub(super) const RETRIES_KEYS: [&str; 4] = ["limit", "delay", "backoff", "max_delay"];
pub(super) const RETRIES_MAX: u32 = 1000;

/// What is not said is as in `base`.
pub(super) fn read(reader: &mut Reader, node: Option<&Node>, base: &RetryPolicy) -> RetryPolicy {
    let mut policy = base.clone();
    let Some(node) = node else { return policy };
    if let Data::Integer(_) = node.data {
        policy.limit = reader.count(node, "retries", 0, RETRIES_MAX).unwrap_or(policy.limit);
        return policy;
    }
    let Some(fields) = reader.fields(node, "retries", &RETRIES_KEYS) else { return policy };
    if let Some(limit) = fields.get("limit").and_then(|node| reader.count(node, "limit", 0, RETRIES_MAX)) {
        policy.limit = limit;
    }
    if let Some(delay) = fields.get("delay").and_then(|node| reader.duration(node, "delay")) {
        policy.delay = delay;
    }
    if let Some(backoff) = fields.get("backoff").and_then(|node| reader.number(node, "backoff", 1.0, 100.0)) {
        policy.backoff = backoff;
    }
    match fields.get("max_delay").map(|node| (reader.duration(node, "max_delay"), node.at)) {
        None => policy.max_delay = policy.max_delay.max(policy.delay),
        Some((Some(max_delay), at)) if max_delay < policy.delay => {
            reader.problem(at, "'max_delay' is shorter than 'delay'".to_owned(), None);
        }
        Some((max_delay, _)) => policy.max_delay = max_delay.unwrap_or(policy.max_delay),
    }
    policy
}
