//! Traces: which trace and span a piece of work is, and what is told of it when it has ended.
//!
//! Ids follow from the run and the attempt alone, so every node derives the same ones, and spans of several nodes join:
//!
//! ```text
//! run (trace, root span) -> attempt (from its start to its stored end) -> task (what its kind did; its children's parent)
//! ```
//!
//! Not here: who takes spans and where they go (`app`).

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};
use std::fmt;
use std::sync::Arc;

/// One span's place. Shown as W3C Trace Context has it: `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub trace: [u8; 16],
    pub span: [u8; 8],
    /// Whether its run is told of at all.
    pub sampled: bool,
}

/// The traces of one platform: runs of others with the same numbers have other ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traces {
    platform: String,
    /// Of how many runs, from 0 to 1.
    share: Share,
}

/// A part of all traces, chosen by their ids: every node chooses the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share(u64);

impl Share {
    pub const ALL: Share = Share(u64::MAX);
    pub const NONE: Share = Share(0);

    /// `None`: not from 0 to 1.
    pub fn of(part: f64) -> Option<Share> {
        // The cast ends at the largest.
        (0.0..=1.0).contains(&part).then_some(Share((part * u64::MAX as f64) as u64))
    }

    /// By the last eight bytes, as OpenTelemetry's SDKs have it.
    fn takes(self, trace: [u8; 16]) -> bool {
        self == Share::ALL || u64::from_be_bytes(part(&trace[8..])) < self.0
    }
}

/// What an attribute can be.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Text(String),
    Number(i64),
}

/// A piece of work that has ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    pub place: Place,
    /// `None` for a run.
    pub parent: Option<[u8; 8]>,
    pub name: String,
    pub start: DateTime<Utc>,
    pub end: DateTime<Utc>,
    pub attributes: Vec<(&'static str, Value)>,
    /// Why it failed, if it did.
    pub error: Option<String>,
}

/// Takes spans. Never waits: what it has no room for is counted and dropped.
pub trait Spans: Send + Sync + 'static {
    fn emit(&self, span: Span);

    /// The run's own span follows from its row.
    fn run_ended(&self, run: i64);
}

/// What a node needs to tell spans.
#[derive(Clone)]
pub struct Tracer {
    pub traces: Traces,
    pub spans: Arc<dyn Spans>,
}

impl Traces {
    /// `platform` is the same on all nodes of one database, and different elsewhere.
    pub fn of(platform: impl Into<String>) -> Self {
        Traces { platform: platform.into(), share: Share::ALL }
    }

    #[must_use]
    pub fn sampled(self, share: Share) -> Self {
        Traces { share, ..self }
    }

    pub fn run(&self, run: i64) -> Place {
        let id = self.id("run", run);
        let trace = part(&id[..16]);
        Place { trace, span: part(&id[16..24]), sampled: self.share.takes(trace) }
    }

    pub fn attempt(&self, run: i64, attempt_id: i64) -> Place {
        Place { span: part(&self.id("attempt", attempt_id)[..8]), ..self.run(run) }
    }

    /// Inside the attempt.
    pub fn task(&self, run: i64, attempt_id: i64) -> Place {
        Place { span: part(&self.id("task", attempt_id)[..8]), ..self.run(run) }
    }

    fn id(&self, what: &str, number: i64) -> [u8; 32] {
        Sha256::digest(format!("{}\n{what}\n{number}", self.platform)).into()
    }
}

/// All zeros are no id; a hash that begins so is not to be expected, and would only lose one span.
fn part<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut part = [0; N];
    part.copy_from_slice(&bytes[..N]);
    part
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = |f: &mut fmt::Formatter<'_>, bytes: &[u8]| {
            bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
        };
        f.write_str("00-")?;
        hex(f, &self.trace)?;
        f.write_str("-")?;
        hex(f, &self.span)?;
        f.write_str(if self.sampled { "-01" } else { "-00" })
    }
}

impl fmt::Debug for Tracer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tracer").field(&self.traces).finish()
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::Text(text.to_owned())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Value::Number(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_derives_the_same_ids_and_no_two_things_share_one() {
        let (one, same, other) = (Traces::of("a"), Traces::of("a"), Traces::of("b"));
        assert_eq!(one.run(7), same.run(7));
        assert_eq!(one.task(7, 9), same.task(7, 9));
        assert_ne!(one.run(7).trace, other.run(7).trace, "another platform");
        assert_ne!(one.run(7).trace, one.run(8).trace);
        let spans =
            [one.run(7), one.attempt(7, 7), one.task(7, 7), one.attempt(7, 8)].map(|place| place.span);
        for (at, span) in spans.iter().enumerate() {
            assert!(!spans[..at].contains(span), "{spans:?}");
        }
        assert_eq!(one.attempt(7, 9).trace, one.run(7).trace, "one trace for a run");
    }

    #[test]
    fn a_place_is_handed_on_as_w3c_has_it() {
        let mut place = Place { trace: [0xab; 16], span: [1; 8], sampled: true };
        assert_eq!(place.to_string(), "00-abababababababababababababababab-0101010101010101-01");
        place.sampled = false;
        assert!(place.to_string().ends_with("-00"), "whoever is called need not tell of it either");
    }

    #[test]
    fn a_share_of_runs_is_sampled_whole_and_on_every_node_the_same() {
        let of = |share| Traces::of("a").sampled(share);
        let (tenth, same) = (of(Share::of(0.1).unwrap()), of(Share::of(0.1).unwrap()));
        let sampled: Vec<i64> = (0..10_000).filter(|run| tenth.run(*run).sampled).collect();
        assert!((850..1150).contains(&sampled.len()), "{}", sampled.len());
        for run in 0..10_000 {
            let one = tenth.run(run).sampled;
            assert_eq!((tenth.attempt(run, 1).sampled, same.task(run, 2).sampled), (one, one), "run {run}");
        }
        assert!((0..1_000).all(|run| of(Share::ALL).run(run).sampled && !of(Share::NONE).run(run).sampled));
        assert!((0..1_000).all(|run| of(Share::of(1.0).unwrap()).run(run).sampled));
        assert_eq!((Share::of(1.1), Share::of(-0.1), Share::of(f64::NAN)), (None, None, None));
    }
}
