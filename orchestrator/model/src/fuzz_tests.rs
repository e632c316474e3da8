//! What people write into fields of dag files, mutated: no panic, no endless work, and the promises that hold for any input. Whole files
//! are in `spec::tests_fuzz`.

use crate::dag::Schedule;
use crate::schedule::Cron;
use crate::template::{self, Names, NoTasks, TemplateContext};
use crate::testing::utc;
use crate::{duration, window::Window};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use testkit::fuzz::Fuzz;

fn lines(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

#[test]
fn fuzz_crons() {
    let corpus = lines(&[
        "5 * * * *",
        "*/15 0-23/2 * * MON-FRI",
        "0 0 L * *",
        "0 0 L-3 * *",
        "30 6 15W * *",
        "0 9 * * FRI#2",
        "0 0 29 2 FRIL",
        "@daily",
        "0 0 1,15 1-12/3 7",
        "59 23 31 12 *",
    ]);
    let zones = ["UTC", "Europe/Brussels", "Australia/Lord_Howe"];
    Fuzz::new("crons", corpus, 1_500).run(|bytes| {
        let text = String::from_utf8_lossy(bytes);
        if Cron::parse(&text).is_err() {
            return;
        }
        let timezone = zones[bytes.len() % zones.len()].to_owned();
        let schedule = Schedule::Cron { expressions: vec![text.to_string()], timezone };
        let ticks = schedule.ticks(utc("2026-03-01T00:00:00Z"), utc("2028-03-02T00:00:00Z"), 50);
        assert!(ticks.windows(2).all(|pair| pair[0] < pair[1]), "ticks of {text:?} do not ascend");
    });
}

fn context() -> TemplateContext {
    TemplateContext {
        window: Some(Window { start: utc("2026-01-01T09:00:00Z"), end: utc("2026-01-01T10:00:00Z") }),
        params: json!({ "users": 3, "names": ["a", "b"] }),
        item: Some(json!("page_view_events")),
        ..TemplateContext::default()
    }
}

#[test]
fn fuzz_templates() {
    let corpus = lines(&[
        "{{ window.start }}",
        "staging.{{ item | upper }}",
        "{% for n in params.names %}{{ n }},{% endfor %}",
        "{% if params.users > 2 %}{{ ds }}{% else %}x{% endif %}",
        "{{ window.end | plus('1h') | date('%Y-%m-%d') }}",
        "{{ data_interval_start.isoformat() }}",
        "{# c #}{{ params['users'] ** 2 }}",
        "{{ range(10) | join('-') }}",
        "{% set x = [1, 2] %}{{ x[-1:] }}",
        "{{ '%05d' | format(params.users) }}",
        "params.users > 2 and item in ['a']",
        "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1) }}",
    ]);
    let (context, params) = (context(), BTreeMap::new());
    let names = Names { params: &params, tasks: &NoTasks, has_item: true, has_window: true, extra: &[] };
    Fuzz::new("templates", corpus, 700).run(|bytes| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let value = json!({ "with": [text.clone()] });
        template::check(&text, &names);
        template::check_expression(&text, &names);
        if let Ok(Value::Object(rendered)) = template::render(&value, &context) {
            assert!(rendered.contains_key("with"), "the shape of the value stays");
        }
        let _ = template::condition(&text, &context);
        let _ = template::evaluate(&text, &context);
    });
}

#[test]
fn fuzz_durations() {
    let corpus = lines(&["10s", "1h30m", "2d", "500ms", "1w", "90", "1.5h"]);
    Fuzz::new("durations", corpus, 3_000).run(|bytes| {
        let _ = duration::parse(&String::from_utf8_lossy(bytes));
    });
}
