//! The engine's own figures (its loops, the ends of attempts, its counters), as the application hands them over: JSON whose shape the engine
//! owns. Keys that are not known here become series of their own.

use super::text::Exposition;
use chrono::DateTime;
use serde_json::{Map, Value};

pub fn write(out: &mut Exposition, figures: &Value) {
    let Some(figures) = figures.as_object() else { return };
    if let Some(loops) = figures.get("loops").and_then(Value::as_object) {
        write_loops(out, loops);
    }
    if let Some(endings) = figures.get("endings").and_then(Value::as_object) {
        let mut family = out.counter(
            "streamify_attempts_ended_total",
            "Attempts that this node ended since it started, by how they ended.",
        );
        for (ending, count) in endings {
            family.sample(&[("ending", ending)], count.as_f64().unwrap_or_default());
        }
    }
    if let Some(calls) = figures.get("calls").and_then(Value::as_object) {
        write_calls(out, calls);
    }
    for (name, value) in figures {
        let fits = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        if let (Some(value), true) = (value.as_f64(), fits) {
            let metric = format!("streamify_node_{name}_total");
            out.counter(&metric, "Counted by the engine of this node since it started.").sample(&[], value);
        }
    }
}

fn write_loops(out: &mut Exposition, loops: &Map<String, Value>) {
    let counters = [
        ("ticks", "streamify_loop_rounds_total", "Rounds of each loop of this node."),
        ("errors", "streamify_loop_errors_total", "Rounds that failed."),
        ("restarts", "streamify_loop_restarts_total", "Times that a loop was started again after a panic."),
    ];
    for (key, name, help) in counters {
        let mut family = out.counter(name, help);
        for (of, figures) in loops {
            family.sample(&[("loop", of)], figures[key].as_f64().unwrap_or_default());
        }
    }
    let mut busy =
        out.counter("streamify_loop_busy_seconds_total", "Time that each loop spent in its rounds.");
    for (of, figures) in loops {
        busy.sample(&[("loop", of)], seconds(&figures["busy_micros"]));
    }
    let mut last = out.gauge("streamify_loop_last_round_timestamp_seconds", "When a round succeeded last.");
    for (of, figures) in loops {
        let at = figures["last_tick_at"].as_str().and_then(|text| DateTime::parse_from_rfc3339(text).ok());
        if let Some(at) = at {
            last.sample(&[("loop", of)], at.timestamp_millis() as f64 / 1000.0);
        }
    }
}

fn write_calls(out: &mut Exposition, calls: &Map<String, Value>) {
    let mut errors = out.counter("streamify_store_call_errors_total", "Calls of the store that failed.");
    for (call, figures) in calls {
        errors.sample(&[("call", call)], figures["errors"].as_f64().unwrap_or_default());
    }
    let mut latency = out.histogram(
        "streamify_store_call_duration_seconds",
        "How long the engine waited for the store, by call.",
    );
    for (call, figures) in calls {
        let label = ("call", call.as_str());
        let count = figures["count"].as_f64().unwrap_or_default();
        for bound in figures["within"].as_array().into_iter().flatten() {
            let le = seconds(&bound["micros"]).to_string();
            latency.sample_of("_bucket", &[label, ("le", &le)], bound["count"].as_f64().unwrap_or_default());
        }
        latency.sample_of("_bucket", &[label, ("le", "+Inf")], count);
        latency.sample_of("_sum", &[label], seconds(&figures["micros"]));
        latency.sample_of("_count", &[label], count);
    }
}

fn seconds(micros: &Value) -> f64 {
    micros.as_f64().unwrap_or_default() / 1e6
}
