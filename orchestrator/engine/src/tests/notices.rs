//! People are told: about failures, recoveries and missed deadlines, at least once, and without a secret in any row.

use super::world::{TestNode, World, dag, service, task, until_later};
use model::dag::{Dag, Restart, TaskDef};
use model::notify::{Event, Notify, Target};
use model::{RunState, TaskState};
use serde_json::{Value, json};
use std::time::Duration;
use store::views::notifications::{NotificationFilter, NotificationRow};

fn told(id: &str, on: &[Event], json: Value, with: Value) -> Dag {
    let to = Target::Http {
        url: "{{ var.base }}/hook/{{ secret.token }}".to_owned(),
        headers: [("X-Event".to_owned(), "{{ event }}".to_owned())].into(),
        json,
    };
    Dag { notify: vec![Notify { on: on.to_vec(), to }], ..dag(id, vec![task("t", &[], with)]) }
}

/// Sends what is due, and waits until it is known what became of it.
async fn send(node: &mut TestNode, notices: usize) {
    let stats = node.core.stats.clone();
    let tried = || {
        let figures = stats.snapshot();
        figures.notices_sent + figures.notices_failed
    };
    let before = tried();
    until_later(&mut node.notifier).await;
    let sent = async {
        while tried() < before + notices as u64 {
            node.core.bells.notifier.rung().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), sent).await.expect("notices are sent");
}

async fn rows(world: &World) -> Vec<NotificationRow> {
    let filter = NotificationFilter { limit: 100, ..NotificationFilter::default() };
    world.store.list_notifications(&filter).await.unwrap().0
}

#[tokio::test]
async fn templates_of_a_notice_are_filled_in_when_it_is_sent_and_no_secret_is_stored() {
    let world = World::new().await;
    let mut node = world.node("a").await;
    let json = json!({ "text": "{{ dag.id }} {{ run.id }} {{ run.state }}", "what": "{{ notice.event }}" });
    let fails = told("d", &[Event::Failure], json, json!({ "do": "fail" }));
    let run = world.trigger(&fails, "r1").await;
    assert_eq!(node.until_final(&world, &run).await, RunState::Failed);
    send(&mut node, 1).await;
    let [notice] = world.outside.notices().try_into().expect("one notice");
    let Target::Http { url, headers, json } = notice.target else { panic!("no web hook: {notice:?}") };
    assert_eq!(url, "http://127.0.0.1:9/hook/s3cret");
    assert_eq!(headers["X-Event"], "failure");
    assert_eq!(json, json!({ "text": "d r1 failed", "what": "failure" }));
    let [row] = rows(&world).await.try_into().expect("one row");
    assert_eq!((row.state.as_str(), row.tries), ("sent", 1));
    assert!(row.target.to_string().contains("{{ secret.token }}"), "{}", row.target);
}

#[tokio::test]
async fn a_failure_names_the_tasks_that_failed_why_and_where_to_look() {
    let world = World::new().await;
    let mut node = world.node("a").await;
    world.store.put_setting("web_url", "http://127.0.0.1:9/", world.now()).await.unwrap();
    let tasks = (0..4).map(|number| task(&format!("t{number}"), &[], json!({ "do": "fail" }))).collect();
    let one =
        told("d", &[Event::Failure], json!("{{ notice.text }} {{ notice.failed[0].task_id }}"), json!({}));
    let run = world.trigger(&Dag { tasks, ..one }, "r+1").await;
    assert_eq!(node.until_final(&world, &run).await, RunState::Failed);
    send(&mut node, 1).await;
    let [notice] = world.outside.notices().try_into().expect("one notice");
    assert_eq!((notice.failed.len(), notice.failed[0].map_index), (3, -1));
    let reason = &notice.failed[0].reason;
    assert!(!reason.is_empty() && notice.text.contains(&format!("t0 ({reason})")), "{}", notice.text);
    assert!(
        notice.text.starts_with("d/r+1 failed: ") && notice.text.ends_with(" and 1 more"),
        "{}",
        notice.text
    );
    assert_eq!(notice.url.as_deref(), Some("http://127.0.0.1:9/dags/d/runs/r%2B1"));
    let Target::Http { json, .. } = notice.target else { panic!("no web hook") };
    assert_eq!(json, json!(format!("{} t0", notice.text)));
}

#[tokio::test]
async fn a_service_that_has_failed_is_told_about_while_its_run_goes_on() {
    let world = World::new().await;
    let mut node = world.node("a").await;
    // Of a kind that says itself when it is ready: this one never is.
    let fails = TaskDef { with: json!({ "do": "fail" }), ..service("s", Restart::Never, 0) };
    let tasks =
        vec![fails, task("t", &[], json!({ "do": "gate" })), task("user", &[0], json!({ "do": "gate" }))];
    let one = told("d", &[Event::Failure], json!("{{ notice.text }}"), json!({}));
    let run = world.trigger(&Dag { tasks, ..one }, "r1").await;
    node.turn().await;
    let ended = world.fake.until("end", "s", 1).await;
    node.forgotten(ended.attempt_id).await;
    let user = world.store.instance("d", "r1", "user", -1).await.unwrap().expect("an instance");
    assert_eq!(user.state, TaskState::UpstreamFailed, "what waits for it is told at once");
    send(&mut node, 1).await;
    let [notice] = world.outside.notices().try_into().expect("one notice");
    assert_eq!((notice.task_id.as_deref(), notice.run_state.as_str()), (Some("s"), "running"));
    assert!(notice.text.contains("the run goes on") && notice.failed[0].task_id == "s", "{}", notice.text);
    world.fake.until("start", "t", 1).await;
    world.fake.open("t");
    assert_eq!(node.until_final(&world, &run).await, RunState::Failed);
    send(&mut node, 1).await;
    assert_eq!(world.outside.notices().len(), 2, "and once more when the run has failed");
}

#[tokio::test]
async fn a_notice_that_is_refused_is_sent_again_later_with_the_same_id() {
    let world = World::new().await;
    let mut node = world.node("a").await;
    let run = world.trigger(&told("d", &[Event::Success], json!(null), json!({})), "r1").await;
    assert_eq!(node.until_final(&world, &run).await, RunState::Success);
    world.outside.refuse_next("503 from /hook/s3cret");
    send(&mut node, 1).await;
    let [row] = rows(&world).await.try_into().expect("one row");
    assert_eq!((row.state.as_str(), row.error.as_deref()), ("waiting", Some("503 from /hook/***")));
    until_later(&mut node.notifier).await;
    assert_eq!(world.outside.notices().len(), 1, "not at once");
    world.advance(5);
    send(&mut node, 1).await;
    let ids: Vec<i64> = world.outside.notices().iter().map(|notice| notice.id).collect();
    assert_eq!(ids, [row.id, row.id]);
    assert_eq!(rows(&world).await[0].state, "sent");
}

#[tokio::test]
async fn a_notice_whose_sender_died_is_sent_by_another_node() {
    let world = World::new().await;
    let (mut a, mut b) = (world.node("a").await, world.node("b").await);
    let run = world.trigger(&told("d", &[Event::Success], json!(null), json!({})), "r1").await;
    assert_eq!(a.until_final(&world, &run).await, RunState::Success);
    let far = world.now() + chrono::TimeDelta::minutes(3);
    assert_eq!(a.core.store.claim_notifications(world.now(), 10, far).await.unwrap().len(), 1);
    until_later(&mut b.notifier).await;
    assert!(world.outside.notices().is_empty(), "it may still be on its way");
    world.advance(181);
    send(&mut b, 1).await;
    assert_eq!(world.outside.notices().len(), 1);
}

#[tokio::test]
async fn a_missed_deadline_is_told_once_while_the_run_goes_on() {
    let world = World::new().await;
    let mut node = world.node("a").await;
    let slow = told("d", &[Event::Deadline], json!("{{ notice.text }}"), json!({ "do": "gate" }));
    let run = world.trigger(&Dag { deadline: Some(Duration::from_secs(60)), ..slow }, "r1").await;
    node.turn().await;
    world.fake.until("start", "t", 1).await;
    world.advance(59);
    until_later(&mut node.deadlines).await;
    assert!(rows(&world).await.is_empty());
    world.advance(2);
    for _ in 0..2 {
        until_later(&mut node.deadlines).await;
    }
    send(&mut node, 1).await;
    let [notice] = world.outside.notices().try_into().expect("one notice");
    assert_eq!((notice.event, notice.run_id.as_str()), (Event::Deadline, "r1"));
    world.fake.open("t");
    assert_eq!(node.until_final(&world, &run).await, RunState::Success);
}
