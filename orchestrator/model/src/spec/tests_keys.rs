//! What the keys beyond the first ones mean: conditions, for_each, groups, roles, limits, assets, services, notices.

use super::tests::fine;
use super::*;
use crate::dag::{Role, Schedule, TaskDef};
use crate::for_each::{ForEach, Over};
use crate::notify::{Event, Target};
use crate::probe::Ask;
use crate::trigger_rule::TriggerRule;
use serde_json::json;
use std::time::Duration;

fn task<'d>(dag: &'d Dag, id: &str) -> &'d TaskDef {
    dag.tasks.iter().find(|task| task.id == id).unwrap_or_else(|| panic!("no task {id}"))
}

fn needs<'d>(dag: &'d Dag, id: &str) -> Vec<&'d str> {
    task(dag, id).needs.iter().map(|at| dag.tasks[*at].id.as_str()).collect()
}

#[test]
fn if_is_a_rule_or_an_expression() {
    let dag = fine(
        "dag: d\nparams: { full: true }\ntasks:\n  a: { uses: process, outputs: { rows: integer } }\n  b: { uses: process, needs: a, if: one_failed }\n  \
         c: { uses: process, needs: a, if: 'params.full and tasks.a.outputs.rows > 3', trigger_rule: none_failed }\n  \
         d: { uses: process, if: '{{ params.full }}' }\n  e: { uses: process, if: false }\n  f: { uses: process, for_each: [1], if: item }\n",
    );
    let said = |id: &str| (task(&dag, id).trigger_rule, task(&dag, id).condition.as_deref());
    assert_eq!(said("a"), (TriggerRule::AllSuccess, None));
    assert_eq!(said("b"), (TriggerRule::OneFailed, None));
    assert_eq!(said("c"), (TriggerRule::NoneFailed, Some("params.full and tasks.a.outputs.rows > 3")));
    assert_eq!(said("d"), (TriggerRule::AllSuccess, Some("params.full")));
    assert_eq!(said("e").1, Some("false"));
    assert_eq!(said("f").1, Some("item"));
    assert_eq!(task(&dag, "a").outputs["rows"], "integer");
}

#[test]
fn for_each_is_a_list_an_expression_or_windows() {
    let dag = fine(
        "dag: d\nwindow: day\ntasks:\n  a: { uses: process }\n  b: { uses: process, needs: a, for_each: '{{ tasks.a.outputs.files }}' }\n  \
         c: { uses: process, for_each: { items: [1, 2], max: 2, concurrency: 1 } }\n  \
         d: { uses: process, needs: a, for_each: { items: '{{ tasks.a.outputs }}', max: 500 } }\n  \
         e: { uses: process, for_each: { windows: 1h, concurrency: 4 }, with: { text: '{{ item.start }}' } }\n",
    );
    let each = |id: &str| task(&dag, id).for_each.clone().unwrap();
    let expression = |text: &str| Over::Expression(text.to_owned());
    assert_eq!(
        each("b"),
        ForEach { over: expression("tasks.a.outputs.files"), max: 10_000, concurrency: None }
    );
    let items = Over::Items(vec![json!(1), json!(2)]);
    assert_eq!(each("c"), ForEach { over: items, max: 2, concurrency: Some(1) });
    assert_eq!(each("d"), ForEach { over: expression("tasks.a.outputs"), max: 500, concurrency: None });
    assert_eq!(each("e").over, Over::Windows(Duration::from_secs(3600)));
    assert!(task(&dag, "b").expands_late() && !task(&dag, "c").expands_late());
}

const GROUPS: &str = "
dag: d
defaults: { retries: 2, timeout: 5m }
params: { full: true }
tasks:
  first: { uses: process }
  etl:
    needs: first
    if: params.full
    retries: { limit: 2, delay: 1m }
    tasks:
      one: { uses: process }
      two: { uses: process, needs: [one], with: { text: '{{ tasks.one.outputs.x }}' } }
      in:
        needs: one
        if: none_failed
        tasks:
          a: { uses: process, if: 'not params.full' }
          b: { uses: process, needs: [a, first] }
          m: { uses: models, with: { project: x }, needs: etl.two }
  last: { uses: process, needs: etl, with: { text: '{{ tasks.etl.in.a.outputs.x }}' } }
  other: { uses: process, needs: [etl.in.a] }
";

#[test]
fn groups_lead_needs_to_their_roots_and_from_their_leaves() {
    let dag = fine(GROUPS);
    let ids: Vec<&str> = dag.groups.iter().map(|group| group.id.as_str()).collect();
    assert_eq!(ids, ["etl", "etl.in", "etl.in.m"]);
    let limits: Vec<u32> = dag.groups.iter().map(|group| group.retries.limit).collect();
    assert_eq!(limits, [2, 0, 0], "a group that says nothing is not retried, whatever the defaults");
    assert_eq!(needs(&dag, "etl.one"), ["first"]);
    assert_eq!(needs(&dag, "etl.two"), ["etl.one"]);
    assert_eq!(needs(&dag, "etl.in.a"), ["etl.one"]);
    assert_eq!(needs(&dag, "etl.in.b"), ["first", "etl.in.a"]);
    assert_eq!(
        needs(&dag, "etl.in.m.a"),
        ["etl.one", "etl.two"],
        "a root of the inner group, and what it says itself"
    );
    assert_eq!(needs(&dag, "last"), ["etl.in.b", "etl.in.m.b", "etl.in.m.c"]);
    assert_eq!(needs(&dag, "other"), ["etl.in.a"]);
    assert_eq!(task(&dag, "etl.in.a").group.as_deref(), Some("etl.in"));
    assert_eq!(task(&dag, "first").group, None);
    let at = dag.tasks.iter().position(|task| task.id == "etl.in.m.b").unwrap();
    assert!(dag.is_in_group(at, "etl") && dag.is_in_group(at, "etl.in") && dag.is_in_group(at, "etl.in.m"));
    assert!(
        dag.tasks.iter().all(|task| task.retries.limit == 2 && task.timeout.is_some()),
        "defaults hold inside"
    );
}

#[test]
fn what_a_group_says_about_its_start_holds_for_its_roots() {
    let dag = fine(GROUPS);
    let said = |id: &str| (task(&dag, id).trigger_rule, task(&dag, id).condition.as_deref());
    assert_eq!(said("etl.one"), (TriggerRule::AllSuccess, Some("params.full")));
    assert_eq!(said("etl.two"), (TriggerRule::AllSuccess, None));
    assert_eq!(
        said("etl.in.a"),
        (TriggerRule::NoneFailed, Some("not params.full")),
        "no root of etl: it needs 'one'"
    );
    assert_eq!(said("etl.in.b"), (TriggerRule::AllSuccess, None));
    let nested = fine(
        "dag: d\ntasks:\n  g:\n    if: 1 < 2\n    tasks:\n      h:\n        if: 2 < 3\n        trigger_rule: all_done\n        tasks:\n          \
         a: { uses: process, if: 3 < 4 }\n          t: { uses: process, teardown: true }\n",
    );
    let a = task(&nested, "g.h.a");
    assert_eq!(a.condition.as_deref(), Some("(1 < 2) and ((2 < 3) and (3 < 4))"));
    assert_eq!(a.trigger_rule, TriggerRule::AllDone);
    assert_eq!(
        task(&nested, "g.h.t").trigger_rule,
        TriggerRule::AllDoneSetupSuccess,
        "a teardown keeps its rule"
    );
}

#[test]
fn siblings_are_meant_before_tasks_of_the_same_name_outside() {
    let dag = fine(
        "dag: d\ntasks:\n  a: { uses: process }\n  g:\n    tasks:\n      a: { uses: process }\n      b: { uses: process, needs: [a] }\n  c: { uses: process, needs: [a] }\n",
    );
    assert_eq!((needs(&dag, "g.b"), needs(&dag, "c")), (vec!["g.a"], vec!["a"]));
}

#[test]
fn what_needs_a_group_does_not_wait_for_its_teardowns() {
    let dag = fine(
        "dag: d\ntasks:\n  g:\n    tasks:\n      make: { uses: process, setup: true }\n      work: { uses: process, needs: make }\n      \
         clean: { uses: process, needs: [make, work], teardown: true }\n  h: { tasks: { only: { uses: process, teardown: true } } }\n  \
         after: { uses: process, needs: [g, h] }\n",
    );
    assert_eq!(needs(&dag, "after"), ["g.work", "h.only"]);
}

#[test]
fn limits_roles_and_assets_arrive() {
    let dag = fine(
        "dag: d\nschedule: '@daily'\ntasks:\n  a: { uses: process, setup: true, pool: db, max_active: 3, depends_on_past: true, deadline: 30m }\n  \
         b: { uses: process, needs: a, teardown: true, pool: { name: db, slots: 2 }, reads: lake/x, writes: [lake/y, 's3://b/z'] }\n  \
         c: { uses: process, needs: a, teardown: true, trigger_rule: all_done }\n",
    );
    let (a, b, c) = (task(&dag, "a"), task(&dag, "b"), task(&dag, "c"));
    assert_eq!(
        (a.role, a.pool.as_deref(), a.pool_slots, a.max_active),
        (Role::Setup, Some("db"), 1, Some(3))
    );
    assert_eq!((a.depends_on_past, a.deadline), (true, Some(Duration::from_secs(1800))));
    assert_eq!((b.role, b.trigger_rule, b.pool_slots), (Role::Teardown, TriggerRule::AllDoneSetupSuccess, 2));
    assert_eq!(
        (b.reads.clone(), b.writes.clone()),
        (vec!["lake/x".to_owned()], vec!["lake/y".to_owned(), "s3://b/z".to_owned()])
    );
    assert_eq!(c.trigger_rule, TriggerRule::AllDone);
    assert_eq!((a.branch, dag.groups.len()), (false, 0));
}

#[test]
fn runs_can_be_continuous_or_follow_assets() {
    let schedule =
        |text: &str| fine(&format!("dag: d\nschedule: {text}\ntasks: {{ a: {{ uses: process }} }}")).schedule;
    let assets = |names: &[&str], all| Schedule::Assets {
        assets: names.iter().map(|name| (*name).to_owned()).collect(),
        all,
    };
    assert_eq!(schedule("'@continuous'"), Schedule::Continuous);
    assert_eq!(schedule("{ continuous: true }"), Schedule::Continuous);
    assert_eq!(schedule("{ assets: [a, b/c] }"), assets(&["a", "b/c"], true));
    assert_eq!(schedule("{ assets: { all: [a, b] } }"), assets(&["a", "b"], true));
    assert_eq!(schedule("{ assets: { any: a } }"), assets(&["a"], false));
}

#[test]
fn services_say_how_they_are_asked_and_stopped() {
    let dag = fine(
        "dag: d\nparams: { port: 8080 }\ntasks:\n  a:\n    uses: serve\n    service:\n      ready: { http: 'http://127.0.0.1:{{ params.port }}/health', every: 500ms }\n      \
         live: { lag: { at_most: 10 }, every: 5s, failures: 2 }\n      stop: { signal: INT, grace: 5s }\n  \
         b: { uses: serve, service: { ready: { log: 'ready .* [0-9]+' }, live: { tcp: '127.0.0.1:80' } } }\n",
    );
    let service = |id: &str| task(&dag, id).service.clone().unwrap();
    let (a, b) = (service("a"), service("b"));
    let ready = a.ready.unwrap();
    assert_eq!(ready.ask, Ask::Http("http://127.0.0.1:{{ params.port }}/health".to_owned()));
    assert_eq!((ready.every, ready.timeout), (Duration::from_millis(500), Duration::from_secs(2)));
    let live = a.live.unwrap();
    assert_eq!((live.probe.ask, live.probe.every, live.failures), (Ask::Lag(10), Duration::from_secs(5), 2));
    assert_eq!((a.stop_signal.as_deref(), a.stop_grace), (Some("INT"), Duration::from_secs(5)));
    assert_eq!(b.ready.unwrap().ask, Ask::Log("ready .* [0-9]+".to_owned()));
    let live = b.live.unwrap();
    assert_eq!(
        (live.probe.ask, live.probe.every, live.failures),
        (Ask::Tcp("127.0.0.1:80".to_owned()), Duration::from_secs(10), 3)
    );
    assert_eq!(b.stop_signal, None);
}

#[test]
fn runs_are_retried_and_people_are_told() {
    let dag = fine(
        "dag: d\ndeadline: 2h\nretries: { limit: 2, delay: 5m }\nnotify:\n  - on: [recovery, failure]\n    http: { url: '{{ conn.chat.url }}', \
         headers: { Authorization: 'Bearer {{ secret.chat }}' }, json: { text: '{{ event }}: {{ notice.text }} in {{ run.id }}' } }\n  \
         - { on: deadline, email: { to: [a@example.org], subject: 'late: {{ dag.id }}' } }\ntasks: { a: { uses: process } }\n",
    );
    assert_eq!(
        (dag.deadline, dag.retries.limit, dag.retries.delay),
        (Some(Duration::from_secs(7200)), 2, Duration::from_secs(300))
    );
    assert_eq!(dag.tasks[0].retries.limit, 0, "those of the run are not those of its tasks");
    assert_eq!(dag.notify[0].on, [Event::Failure, Event::Recovery]);
    let Target::Http { url, headers, json } = &dag.notify[0].to else { panic!("http") };
    assert_eq!((url.as_str(), headers.len()), ("{{ conn.chat.url }}", 1));
    assert_eq!(json["text"], "{{ event }}: {{ notice.text }} in {{ run.id }}");
    assert_eq!(
        dag.notify[1].to,
        Target::Email { to: vec!["a@example.org".to_owned()], subject: "late: {{ dag.id }}".to_owned() }
    );
}

#[test]
fn a_dag_with_everything_survives_the_database() {
    let dag = fine(GROUPS);
    let stored: Dag = serde_json::from_value(serde_json::to_value(&dag).unwrap()).unwrap();
    assert_eq!(stored, dag);
}
