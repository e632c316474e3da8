//! One row of a gantt chart: waiting in the queue, then running, on the time axis of the whole run.

use crate::ui::{Html, duration};
use chrono::{DateTime, TimeDelta, Utc};

pub struct Axis {
    pub start: DateTime<Utc>,
    pub end: DateTime<Utc>,
}

impl Axis {
    fn percent(&self, at: DateTime<Utc>) -> f64 {
        let whole = (self.end - self.start).num_milliseconds().max(1) as f64;
        ((at - self.start).num_milliseconds() as f64 / whole * 100.0).clamp(0.0, 100.0)
    }

    /// The header: start, middle and end as time since the start.
    pub fn scale(&self) -> Html {
        let whole = self.end - self.start;
        let label =
            |share: i32| duration(TimeDelta::milliseconds(whole.num_milliseconds() * i64::from(share) / 100));
        Html(format!(
            r#"<svg aria-hidden="true"><text x="0" y="15">0</text><text x="50%" y="15" text-anchor="middle">{}</text><text x="100%" y="15" text-anchor="end">{}</text></svg>"#,
            label(50),
            label(100)
        ))
    }

    pub fn row(
        &self,
        queued: Option<DateTime<Utc>>,
        started: Option<DateTime<Utc>>,
        ended: DateTime<Utc>,
    ) -> Html {
        let mut bars = String::new();
        if let Some(queued) = queued {
            let (from, to) = (self.percent(queued), self.percent(started.unwrap_or(ended)));
            bars.push_str(&format!(
                r#"<rect class="wait" x="{from:.2}%" y="9" width="{:.2}%" height="4"/>"#,
                (to - from).max(0.0)
            ));
        }
        if let Some(started) = started {
            let (from, to) = (self.percent(started), self.percent(ended));
            let wide = (to - from).max(0.6);
            // A bar at the very end stays inside the picture.
            let from = from.min(100.0 - wide);
            bars.push_str(&format!(
                r#"<rect class="bar" x="{from:.2}%" y="5" width="{wide:.2}%" height="12" rx="2"/>"#
            ));
        }
        Html(format!(r#"<svg aria-hidden="true">{bars}</svg>"#))
    }
}
