//! The reconciliation table.

use crate::output;
use chrono::{DateTime, Utc};
use serde::Serialize;

/// One topic in one hour, or all of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Line {
    pub topic: String,
    /// None: the whole topic.
    pub hour: Option<DateTime<Utc>>,
    pub generated: u64,
    /// Known for a whole topic only: Kafka does not count by hour.
    pub kafka: Option<u64>,
    pub lake: u64,
    pub dead_letters: Option<u64>,
    pub staging: u64,
    pub facts: u64,
}

impl Line {
    /// An hour that was loaded has the same rows everywhere.
    pub fn agrees_by_hour(&self) -> bool {
        self.generated == self.lake && self.lake == self.staging && self.staging == self.facts
    }

    /// A bounded history has arrived whole: each record is a row or a dead letter, and each row a fact.
    pub fn agrees_as_whole(&self) -> bool {
        let arrived = self.lake + self.dead_letters.unwrap_or(0);
        self.generated == arrived
            && self.kafka.is_none_or(|kafka| kafka == arrived)
            && self.agrees_by_hour_of_rows()
    }

    fn agrees_by_hour_of_rows(&self) -> bool {
        self.lake == self.staging && self.staging == self.facts
    }
}

/// Totals, then every line that does not agree. `bounded`: nothing is under way any more, so totals must agree too.
pub fn print(lines: &[Line], bounded: bool) -> bool {
    let hours = lines.iter().filter(|line| line.hour.is_some());
    let wrong: Vec<&Line> = hours.clone().filter(|line| !line.agrees_by_hour()).collect();
    let totals: Vec<&Line> = lines.iter().filter(|line| line.hour.is_none()).collect();
    let agrees = wrong.is_empty()
        && !totals.is_empty()
        && (!bounded || totals.iter().all(|line| line.agrees_as_whole()));
    let header = ["topic", "hour", "generated", "kafka", "lake", "dead letters", "staging", "facts", ""];
    let shown = totals.iter().copied().chain(wrong.iter().copied());
    println!("{}", output::table(&header, shown.map(|line| row(line, bounded))));
    println!("{} hours of {} topics compared, {} differ", hours.count(), totals.len(), wrong.len());
    agrees
}

fn row(line: &Line, bounded: bool) -> Vec<String> {
    let optional = |number: Option<u64>| number.map_or_else(|| "-".to_string(), |number| number.to_string());
    let verdict = match (line.hour, bounded) {
        (Some(_), _) if line.agrees_by_hour() => "agrees",
        (None, true) if line.agrees_as_whole() => "agrees",
        (None, false) => "",
        _ => "DIFFERS",
    };
    vec![
        line.topic.clone(),
        line.hour.map_or_else(|| "all".to_string(), |hour| hour.format("%F %R").to_string()),
        line.generated.to_string(),
        optional(line.kafka),
        line.lake.to_string(),
        optional(line.dead_letters),
        line.staging.to_string(),
        line.facts.to_string(),
        verdict.to_string(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> Line {
        let topic = "t".to_string();
        Line {
            topic,
            hour: None,
            generated: 10,
            kafka: Some(10),
            lake: 9,
            dead_letters: Some(1),
            staging: 9,
            facts: 9,
        }
    }

    #[test]
    fn each_figure_counts() {
        assert!(line().agrees_as_whole());
        let broken: [fn(&mut Line); 6] = [
            |line| line.generated += 1,
            |line| line.kafka = Some(11),
            |line| line.lake += 1,
            |line| line.dead_letters = Some(0),
            |line| line.staging -= 1,
            |line| line.facts += 1,
        ];
        for (number, change) in broken.into_iter().enumerate() {
            let mut line = line();
            change(&mut line);
            assert!(!line.agrees_as_whole(), "change {number} goes unseen");
        }
    }

    #[test]
    fn nothing_to_compare_is_no_agreement() {
        assert!(!print(&[], true));
    }
}
