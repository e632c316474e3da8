//! Does every layer have every event? Generated, in Kafka, in the lake, in staging, in the facts: per topic and hour.

mod layers;
mod once;
mod table;

pub use layers::{Figures, Sources};
pub use once::once;
pub use table::{Line, print};

use anyhow::Result;
use chrono::{DateTime, Utc};
use std::collections::BTreeMap;

/// Rows by hour.
pub type Hours = BTreeMap<DateTime<Utc>, u64>;

/// The lines of all topics: one for each hour that was loaded, and one for the whole topic.
pub async fn compare(sources: &Sources<'_>) -> Result<Vec<Line>> {
    let facts = layers::facts(sources.store).await?;
    let topics: Vec<String> = facts.keys().cloned().collect();
    let generated = layers::generated(sources.kafka, sources.until).await?;
    let kafka = layers::kafka(sources.kafka, &topics).await?;
    let mut lines = Vec::new();
    for (topic, fact) in &facts {
        let lake = layers::lake(sources.lake, topic).await?;
        let staging = sources.figures.hours("staging", topic).await?;
        let built = sources.figures.hours("prod", fact).await?;
        let made = generated.get(topic).cloned().unwrap_or_default();
        for hour in staging.keys() {
            let of = |hours: &Hours| hours.get(hour).copied().unwrap_or(0);
            lines.push(Line {
                topic: topic.clone(),
                hour: Some(*hour),
                generated: of(&made),
                kafka: None,
                lake: of(&lake.rows),
                dead_letters: None,
                staging: of(&staging),
                facts: of(&built),
            });
        }
        let sum = |hours: &Hours| hours.values().sum();
        lines.push(Line {
            topic: topic.clone(),
            hour: None,
            generated: sum(&made),
            kafka: Some(kafka.get(topic).copied().unwrap_or(0)),
            lake: sum(&lake.rows),
            dead_letters: Some(lake.dead_letters),
            staging: sum(&staging),
            facts: sum(&built),
        });
    }
    Ok(lines)
}
