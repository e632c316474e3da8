//! How single values look on pages: times, durations, numbers, states, URLs. Everything that is HTML is an [`Html`], which templates
//! do not escape again; all text that comes from outside goes through [`esc`] on the way in.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use model::Window;
use std::fmt::{self, Write};

/// Markup that is safe to print as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Html(pub String);

impl fmt::Display for Html {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl askama::filters::HtmlSafe for Html {}

pub fn esc(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// A path segment or query value, percent-encoded.
pub fn enc(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(byte as char),
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

pub fn rfc3339(at: DateTime<Utc>) -> String {
    let format = if at.timestamp_subsec_micros() == 0 { SecondsFormat::Secs } else { SecondsFormat::Millis };
    at.to_rfc3339_opts(format, true)
}

fn time_tag(at: DateTime<Utc>, form: &str, text: &str) -> Html {
    let (machine, exact) = (rfc3339(at), at.format("%Y-%m-%d %H:%M:%S%.3f UTC"));
    Html(format!(r#"<time datetime="{machine}" title="{exact}" data-as="{form}">{text}</time>"#))
}

/// `4 min ago`, with the exact instant in the title.
pub fn ago(at: DateTime<Utc>, now: DateTime<Utc>) -> Html {
    time_tag(at, "ago", &ago_text(at, now))
}

pub fn ago_text(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let seconds = (now - at).num_seconds();
    let (amount, unit) = match seconds.abs() {
        0 => return "now".into(),
        s @ 1..60 => (s, "s"),
        s @ 60..3_600 => (s / 60, "min"),
        s @ 3_600..172_800 => (s / 3_600, "h"),
        s => (s / 86_400, "days"),
    };
    if seconds < 0 { format!("in {amount} {unit}") } else { format!("{amount} {unit} ago") }
}

/// Date and time to the second.
pub fn full(at: DateTime<Utc>) -> Html {
    time_tag(at, "full", &at.format("%Y-%m-%d %H:%M:%S").to_string())
}

pub fn minute(at: DateTime<Utc>) -> Html {
    time_tag(at, "minute", &at.format("%Y-%m-%d %H:%M").to_string())
}

pub fn clock(at: DateTime<Utc>) -> Html {
    time_tag(at, "clock", &at.format("%H:%M:%S").to_string())
}

pub fn dash() -> Html {
    Html(r#"<span class="muted">–</span>"#.into())
}

/// The interval of data of a run.
pub fn window(window: Option<Window>) -> Html {
    match window {
        None => dash(),
        Some(w) => Html(format!(r#"<span class="nowrap">{} – {}</span>"#, minute(w.start), minute(w.end))),
    }
}

/// The same as plain text, for titles.
pub fn window_text(window: Window) -> String {
    format!("{} – {} UTC", window.start.format("%Y-%m-%d %H:%M"), window.end.format("%Y-%m-%d %H:%M"))
}

pub fn duration(length: TimeDelta) -> String {
    let ms = length.num_milliseconds().max(0);
    let s = ms / 1000;
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..10_000 => format!("{:.1} s", ms as f64 / 1000.0),
        10_000..60_000 => format!("{s} s"),
        60_000..3_600_000 => format!("{} m {:02} s", s / 60, s % 60),
        3_600_000..172_800_000 => format!("{} h {:02} m", s / 3600, s / 60 % 60),
        _ => format!("{} d {:02} h", s / 86_400, s / 3600 % 24),
    }
}

/// From start to end, or to now while it runs.
pub fn span(
    start: Option<DateTime<Utc>>,
    end: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Option<TimeDelta> {
    start.map(|start| end.unwrap_or(now).max(start) - start)
}

pub fn span_text(start: Option<DateTime<Utc>>, end: Option<DateTime<Utc>>, now: DateTime<Utc>) -> String {
    span(start, end, now).map_or_else(|| "–".into(), duration)
}

/// `1,234,567`, `0.993`; whole numbers without a fraction.
pub fn number(value: f64) -> String {
    if !value.is_finite() {
        return "–".into();
    }
    let whole = value.fract() == 0.0 || value.abs() >= 10_000.0;
    let text = if whole { format!("{:.0}", value.abs()) } else { trim_zeros(&format!("{:.3}", value.abs())) };
    let (int, fraction) = text.split_once('.').map_or((text.as_str(), None), |(i, f)| (i, Some(f)));
    let mut out = String::new();
    if value < 0.0 {
        out.push('-');
    }
    for (i, digit) in int.chars().enumerate() {
        if i > 0 && (int.len() - i) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    if let Some(fraction) = fraction {
        out.push('.');
        out.push_str(fraction);
    }
    out
}

fn trim_zeros(text: &str) -> String {
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}

/// `10.4M`, `20.3K`, `940`.
pub fn compact(value: f64) -> String {
    match value.abs() {
        v if v >= 1e9 => format!("{}B", trim_zeros(&format!("{:.1}", value / 1e9))),
        v if v >= 1e6 => format!("{}M", trim_zeros(&format!("{:.1}", value / 1e6))),
        v if v >= 1e4 => format!("{}K", trim_zeros(&format!("{:.1}", value / 1e3))),
        _ => number(value),
    }
}

pub fn plural(count: usize, one: &str, many: &str) -> String {
    format!("{} {}", number(count as f64), if count == 1 { one } else { many })
}

/// The sign that goes with a state's colour, so that colour is never the only difference.
pub fn glyph(state: &str) -> &'static str {
    match state {
        "success" | "pass" | "ready" | "ran" | "healthy" => "✓",
        "failed" | "fail" | "unhealthy" => "✕",
        "running" => "▸",
        "queued" | "starting" => "…",
        "up_for_retry" => "↻",
        "up_for_reschedule" => "◷",
        "skipped" => "»",
        "upstream_failed" => "⊘",
        "cancelled" | "lost" => "–",
        "merged" => "⇢",
        "warn" => "!",
        _ => "·",
    }
}

/// The state in words a person reads.
pub fn state_words(state: &str) -> String {
    match state {
        "none" => "waiting".into(),
        "up_for_reschedule" => "waiting to look again".into(),
        other => other.replace('_', " "),
    }
}

/// The class that gives a state its colour; unknown words get none.
pub fn state_class(state: &str) -> String {
    let known = state.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    if known { format!("s-{state}") } else { String::new() }
}

pub fn badge(state: &str) -> Html {
    Html(format!(
        r#"<span class="badge {}"><i aria-hidden="true">{}</i>{}</span>"#,
        state_class(state),
        glyph(state),
        esc(&state_words(state))
    ))
}

pub fn dag_url(dag: &str) -> String {
    format!("/dags/{}", enc(dag))
}

pub fn run_url(dag: &str, run: &str) -> String {
    format!("/dags/{}/runs/{}", enc(dag), enc(run))
}

pub fn task_url(dag: &str, run: &str, task: &str, map_index: i32) -> String {
    let base = format!("{}/tasks/{}", run_url(dag, run), enc(task));
    if map_index < 0 { base } else { format!("{base}?map_index={map_index}") }
}

/// A run's duration as a bar of the lists.
pub fn bar(seconds: f64, longest: f64) -> Html {
    crate::svg::bars::run_bar(seconds, longest, 9, 30)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_people_write_them() {
        let text = |ms| duration(TimeDelta::milliseconds(ms));
        assert_eq!(text(340), "340 ms");
        assert_eq!(text(1_500), "1.5 s");
        assert_eq!(text(61_000), "1 m 01 s");
        assert_eq!(text(3_720_000), "1 h 02 m");
        assert_eq!(text(190_000_000), "2 d 04 h");
        assert_eq!(text(-5), "0 ms");
    }

    #[test]
    fn numbers_group_thousands_and_keep_small_fractions() {
        assert_eq!(number(1_457_747.0), "1,457,747");
        assert_eq!(number(-1_000.0), "-1,000");
        assert_eq!(number(0.9931), "0.993");
        assert_eq!(number(f64::NAN), "–");
        assert_eq!(compact(10_400_000.0), "10.4M");
        assert_eq!(compact(940.0), "940");
    }

    #[test]
    fn run_ids_survive_the_way_through_a_url() {
        assert_eq!(
            run_url("hourly", "scheduled__2026-11-22T10:05:00+00:00"),
            "/dags/hourly/runs/scheduled__2026-11-22T10%3A05%3A00%2B00%3A00"
        );
        assert_eq!(enc("a/b?c d"), "a%2Fb%3Fc%20d");
    }

    #[test]
    fn foreign_text_cannot_leave_its_place_in_a_page() {
        assert_eq!(
            esc(r#"<a href="x" onclick='y'>&"#),
            "&lt;a href=&quot;x&quot; onclick=&#39;y&#39;&gt;&amp;"
        );
        assert!(!badge("<script>").0.contains("<script>"));
    }
}
