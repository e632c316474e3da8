//! The `watermarks` topic: "every event before `at` has been acknowledged, below these offsets". `at` never goes back,
//! also not across restarts.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::kafka::Cluster;
use crate::model::instant;
use crate::sink::Sink;

const SOURCE: &str = "generator";
/// How many records to look back for our last one; other sources write here too.
const TAIL: u64 = 1_000;

#[derive(Serialize)]
struct Record<'a> {
    source: &'static str,
    at: String,
    offsets: BTreeMap<&'a str, Vec<u64>>,
}

#[derive(Deserialize)]
struct Published {
    source: String,
    at: DateTime<Utc>,
}

pub(crate) struct Watermark {
    topic: String,
    /// Seconds since 1970.
    last: Option<u32>,
}

pub(crate) fn name(prefix: &str) -> String {
    format!("{prefix}watermarks")
}

impl Watermark {
    /// Looks up where the last run left off. Blocks.
    ///
    /// # Errors
    /// Kafka out of reach.
    pub(crate) fn open(cluster: &Cluster, prefix: &str) -> Result<Self, Error> {
        let topic = name(prefix);
        let (low, end) = cluster.offsets(&topic, 0)?;
        let start = low.max(end.saturating_sub(TAIL));
        let records = if start < end { cluster.records(&topic, 0, start..end)? } else { Vec::new() };
        let last = records
            .iter()
            .filter_map(|record| serde_json::from_slice::<Published>(&record.value).ok())
            .filter(|published| published.source == SOURCE)
            .map(|published| crate::model::seconds(published.at))
            .max();
        Ok(Self { topic, last })
    }

    pub(crate) fn last(&self) -> Option<DateTime<Utc>> {
        self.last.map(instant)
    }

    /// Whether publishing this instant would say something new.
    pub(crate) fn is_news(&self, at: u32) -> bool {
        self.last.is_none_or(|last| at > last)
    }

    /// Publishes; everything made so far must have been acknowledged, and be all there is before `at`.
    ///
    /// # Errors
    /// Kafka's refusal.
    pub(crate) fn publish(&mut self, at: u32, sink: &Sink) -> Result<(), Error> {
        let record = Record {
            source: SOURCE,
            at: instant(at).to_rfc3339_opts(SecondsFormat::Secs, true),
            offsets: sink.ends().collect(),
        };
        let json = serde_json::to_vec(&record).expect("a watermark is plain data");
        sink.publish(&self.topic, SOURCE, &json, i64::from(at) * 1_000)?;
        self.last = Some(at);
        Ok(())
    }
}
