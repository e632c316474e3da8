use super::*;
use crate::testing::utc;
use crate::window::Window;
use proptest::prelude::*;
use serde_json::json;

fn context() -> TemplateContext {
    TemplateContext {
        dag: DagFacts { id: "hourly".to_owned(), ..DagFacts::default() },
        run: RunFacts {
            id: "r1".to_owned(),
            state: "running".to_owned(),
            tick: Some(utc("2026-01-01T10:05:00Z")),
        },
        task: TaskFacts { id: "load".to_owned(), map_index: 0, try_number: 1 },
        window: Some(Window { start: utc("2026-01-01T09:00:00Z"), end: utc("2026-01-01T10:00:00Z") }),
        params: json!({ "full_refresh": false, "users": 3 }),
        item: Some(json!("page_view_events")),
        conn: json!({ "chat": { "url": "http://x" } }).as_object().unwrap().clone(),
        outputs: BTreeMap::from([("count".to_owned(), json!({ "rows": 7 }))]),
        ..TemplateContext::default()
    }
}

fn rendered(text: &str) -> Result<Value, String> {
    render(&json!(text), &context()).map_err(|error| error.to_string())
}

#[test]
fn one_expression_keeps_its_type_and_text_around_it_makes_text() {
    let table = [
        ("{{ params.full_refresh }}", json!(false)),
        ("{{ params.users + 1 }}", json!(4)),
        ("{{ tasks.count.outputs }}", json!({ "rows": 7 })),
        (" {{- params.users -}} ", json!(3)),
        ("{{ params.users }} users", json!("3 users")),
        ("{{ params.users }}{{ params.users }}", json!("33")),
        ("staging.{{ item }}", json!("staging.page_view_events")),
        ("no template }}", json!("no template }}")),
        ("{{ conn.chat.url }}", json!("http://x")),
        ("{% if params.full_refresh %}all{% else %}new{% endif %}", json!("new")),
    ];
    for (text, expected) in table {
        assert_eq!(rendered(text), Ok(expected), "{text}");
    }
}

#[test]
fn instants_are_iso_and_have_filters() {
    let table = [
        ("{{ window.end }}", json!("2026-01-01T10:00:00Z")),
        ("{{ window.start | strftime('%m%d%H') }}", json!("010109")),
        ("{{ window.start | strftime('%H', 'Europe/Zurich') }}", json!("10")),
        ("{{ window.start | date }}", json!("2026-01-01")),
        ("{{ window.start | shift('-1d') | date }}", json!("2025-12-31")),
        ("{{ window.start | timestamp }}", json!(1_767_258_000)),
        ("{{ ds }} {{ ts_nodash }}", json!("2026-01-01 20260101T090000")),
        ("{{ logical_date.strftime('%Y') }}", json!("2026")),
        ("{{ data_interval_end.isoformat() }}", json!("2026-01-01T10:00:00+00:00")),
    ];
    for (text, expected) in table {
        assert_eq!(rendered(text), Ok(expected), "{text}");
    }
}

#[test]
fn errors_name_the_place_and_the_cause() {
    let value = json!({ "json": { "list": ["x", "{{ params.usres }}"] } });
    let error = render(&value, &context()).unwrap_err();
    assert_eq!(error.path, "json.list[1]");
    assert!(error.to_string().contains("'{{ params.usres }}' is not defined"), "{error}");
    for (text, cause) in [
        ("a {{ nope.x }}", "not defined"),
        ("a {{ params.nope }}", "not defined"),
        ("{{ window.start | strftime('%Q') }}", "no format"),
        ("{{ item | date }}", "'page_view_events' is no instant"),
        ("{{ item | nope }}", "unknown filter"),
        (
            "{% for a in range(99999) %}{% for b in range(99999) %}x{% endfor %}{% endfor %}",
            "takes more than",
        ),
        ("{% set a = 'x' * 90000 %}{% for b in range(90) %}{{ a }}{% endfor %}", "longer than"),
    ] {
        let error = rendered(text).unwrap_err();
        assert!(error.contains(cause), "{text}: {error}");
    }
}

#[test]
fn env_is_always_text() {
    let env = BTreeMap::from([("USERS".to_owned(), "{{ params.users }}".to_owned())]);
    assert_eq!(render_env(&env, &context()).unwrap()["USERS"], "3");
}

/// One task before, with one declared output; and a mapped one.
struct Load(BTreeMap<String, String>);

impl TaskNames for Load {
    fn find(&self, id: &str) -> Found<'_> {
        match id {
            "load" | "in.load" => Found::Before(Given::Outputs(&self.0)),
            "each" => Found::Before(Given::Mapped),
            "later" => Found::NotBefore,
            _ => Found::Unknown,
        }
    }

    fn hint(&self, _id: &str) -> String {
        "known are load".to_owned()
    }
}

static LOAD: std::sync::LazyLock<Load> =
    std::sync::LazyLock::new(|| Load(BTreeMap::from([("rows".to_owned(), "integer".to_owned())])));

fn params() -> BTreeMap<String, crate::dag::Param> {
    let param = crate::dag::Param {
        r#type: "boolean".to_owned(),
        default: None,
        description: String::new(),
        allowed: vec![],
    };
    BTreeMap::from([("full_refresh".to_owned(), param)])
}

fn names(params: &BTreeMap<String, crate::dag::Param>) -> Names<'_> {
    Names { params, tasks: &*LOAD, has_item: false, has_window: false, extra: &[] }
}

#[test]
fn outputs_that_a_task_does_not_declare_are_found() {
    let params = params();
    let names = names(&params);
    let message =
        |text: &str| check_expression(text, &names).into_iter().map(|p| p.message).collect::<Vec<_>>();
    for fine in [
        "tasks.load.outputs.rows > 3",
        "{{ tasks.in.load.outputs.rows }}",
        "tasks['in.load'].outputs.rows",
        "tasks.each.outputs | length",
        "tasks[params.full_refresh]",
    ] {
        assert_eq!(message(fine), Vec::<String>::new(), "{fine}");
    }
    let undeclared = "'load' declares no output 'row'";
    assert_eq!(message("tasks.load.outputs.row"), [undeclared]);
    assert_eq!(message("tasks['load'].outputs.row and 1"), [undeclared]);
    assert_eq!(message("tasks.load.rows"), ["'tasks.load' has no 'rows'"]);
    assert_eq!(
        message("tasks.each.outputs.rows"),
        ["the outputs of 'each' are a list, one entry for each item"]
    );
    assert_eq!(message("tasks.later.outputs"), ["'later' is no task before this one"]);
    assert_eq!(message("tasks['nope'].outputs"), ["'nope' is no task before this one"]);
    assert!(message("{{ tasks.load. }}")[0].contains("no valid expression"));
}

#[test]
fn unknown_names_are_found_before_anything_runs() {
    let params = params();
    let names = names(&params);
    let found = |text: &str| {
        let problems = check(text, &names);
        problems.into_iter().map(|p| (p.offset, p.message, p.hint.unwrap_or_default())).collect::<Vec<_>>()
    };
    let one = |offset: usize, message: &str, hint: &str| vec![(offset, message.to_owned(), hint.to_owned())];
    assert_eq!(
        found("{{ params.full_refresh }} {{ conn.any.url }} {{ range(3) }} {{ tasks.load.outputs }}"),
        []
    );
    assert_eq!(
        found("{{ params.full_refesh }}"),
        one(3, "unknown param 'full_refesh'", "did you mean 'full_refresh'?")
    );
    assert_eq!(
        found("a {{ parms.x }}"),
        one(5, "unknown name 'parms' in a template", "did you mean 'params'?")
    );
    assert_eq!(found("{{ run.ide }}"), one(3, "'run' has no 'ide'", "did you mean 'id'?"));
    assert_eq!(
        found("{{ tasks.other.outputs }}"),
        one(3, "'other' is no task before this one", "known are load")
    );
    assert_eq!(found("{{ item }}")[0].1, "'item' in a task without for_each");
    assert_eq!(found("{{ window.end }}")[0].1, "'window' in a dag without a window");
    let [(offset, message, _)] = &found("ab {{ run.id + }}")[..] else { panic!("one problem") };
    assert!(message.contains("no valid template") && *offset >= 12, "{offset} {message}");
}

proptest! {
    #[test]
    fn no_text_makes_templates_panic(text in "([{]{2})?[{}%#a-z.|' +(\\[é-]{0,40}([}]{2})?") {
        let params = BTreeMap::new();
        let names = Names { params: &params, tasks: &NoTasks, has_item: false, has_window: false, extra: &[] };
        for problem in check_expression(&text, &names).into_iter().chain(check(&text, &names)) {
            prop_assert!(problem.offset <= text.chars().count());
        }
        if let Ok(value) = render(&json!(&text), &TemplateContext::default()) {
            prop_assert!(is_template(&text) || value == json!(text));
        }
    }
}

/// Found by mutation: a width that no memory holds ended the process.
#[test]
fn a_width_that_no_memory_holds_is_an_error() {
    for text in [
        "{{ '%9223372036854775807d' | format(1) }}",
        "{{ '%.99999f' | format(1.5) }}",
        "{{ '%*d' | format(99999, 1) }}",
        "{{ 'a' | indent(9223372036854775807, true) }}",
        "{{ 'a' | indent(width=9223372036854775807) }}",
        "{{ [1] | tojson(9223372036854775807) }}",
        "{{ [1] | tojson(indent=9223372036854775807) }}",
        "{{ [1] | batch(9223372036854775807) | list }}",
        "{{ [1] | slice(9223372036854775807) | list }}",
    ] {
        assert!(rendered(text).unwrap_err().contains("widths"), "{text}");
    }
    assert_eq!(rendered("{{ '%05d of %s' | format(7, 'x') }}"), Ok(json!("00007 of x")));
    assert_eq!(rendered("x {{ 'a' | indent(width=2, first=true) }}"), Ok(json!("x   a")));
    assert_eq!(rendered("x {{ [1, 2] | tojson }}"), Ok(json!("x [1,2]")));
    assert_eq!(
        rendered("x {{ [[1, 2, 3] | batch(2) | length, [1, 2, 3] | slice(2) | length] }}"),
        Ok(json!("x [2, 2]"))
    );
}
