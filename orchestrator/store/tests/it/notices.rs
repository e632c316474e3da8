//! Deadlines and notifications: told once, sent at least once, given up at last.

use crate::support::{World, at, dag, task, world};
use chrono::TimeDelta;
use model::notify::{Event, Notify, Target};
use model::{Dag, Ending};
use store::notifications::TRIES_MAX;

fn told(on: &[Event]) -> Notify {
    let to = Target::Http {
        url: "http://x/{{ run.id }}".into(),
        headers: Default::default(),
        json: "{{ notice }}".into(),
    };
    Notify { on: on.to_vec(), to }
}

fn watched() -> Dag {
    let notify = vec![told(&[Event::Deadline]), told(&[Event::Success])];
    Dag { notify, ..dag("d", vec![task("a", &[]), task("b", &[0])]) }
}

/// A started run with a deadline of its own (task -1) and one for each task.
async fn with_deadlines(world: &World) -> i64 {
    let run = world.started(&watched()).await;
    sqlx::query("delete from deadlines").execute(&world.pool).await.unwrap();
    sqlx::query(
        "insert into deadlines (run, task, due_at) select $1, task, $2 from generate_series(-1, 1) as task",
    )
    .bind(run)
    .bind(at(60))
    .execute(&world.pool)
    .await
    .unwrap();
    run
}

#[tokio::test]
async fn a_missed_deadline_is_told_once_to_those_who_asked_and_a_kept_one_never() {
    let world = world().await;
    with_deadlines(&world).await;
    let attempt = world.claim_one().await;
    world.end(&attempt, Ending::Done, at(59)).await;
    assert_eq!(world.store.miss_deadlines(at(59), 10).await.unwrap(), (0, Some(at(60))));
    assert_eq!(
        world.store.miss_deadlines(at(61), 10).await.unwrap(),
        (2, None),
        "the run and the second task"
    );
    assert_eq!(world.store.miss_deadlines(at(62), 10).await.unwrap(), (0, None));
    assert_eq!(world.count("select count(*) from deadlines").await, 2, "the kept one is forgotten");
    let sent = world.store.claim_notifications(at(62), 10, at(70)).await.unwrap();
    let texts: Vec<&str> = sent.iter().map(|outgoing| outgoing.notice.text.as_str()).collect();
    assert_eq!(texts.len(), 2);
    assert!(texts.iter().any(|text| text.starts_with("run d/r1 had not ended at its deadline")), "{texts:?}");
    assert!(texts.iter().any(|text| text.starts_with("task 'b' of d/r1 was not finished")), "{texts:?}");
    assert!(
        sent.iter().all(|outgoing| outgoing.notice.event == Event::Deadline && outgoing.run.run_id == "r1")
    );
    assert_eq!(sent[0].notice.target, watched().notify[0].to);
}

#[tokio::test]
async fn an_end_after_the_deadline_is_missed_even_if_nobody_looked_in_between() {
    let world = world().await;
    with_deadlines(&world).await;
    let attempt = world.claim_one().await;
    world.end(&attempt, Ending::FailedForGood, at(61)).await;
    assert_eq!(world.store.miss_deadlines(at(99), 10).await.unwrap().0, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_nodes_tell_a_missed_deadline_once_and_each_notification_has_one_sender_at_a_time() {
    let world = world().await;
    with_deadlines(&world).await;
    let nodes: Vec<_> = (0..6)
        .map(|_| {
            let store = world.store.clone();
            tokio::spawn(async move {
                let missed = store.miss_deadlines(at(61), 10).await.unwrap().0;
                (missed, store.claim_notifications(at(61), 10, at(90)).await.unwrap().len())
            })
        })
        .collect();
    let (mut missed, mut claimed) = (0, 0);
    for node in nodes {
        let (more_missed, more_claimed) = node.await.unwrap();
        missed += more_missed;
        claimed += more_claimed;
    }
    claimed += world.store.claim_notifications(at(62), 10, at(90)).await.unwrap().len();
    assert_eq!((missed, claimed), (3, 3));
}

#[tokio::test]
async fn a_notification_comes_back_if_its_sender_dies_and_is_dead_after_the_last_try() {
    let world = world().await;
    with_deadlines(&world).await;
    world.store.miss_deadlines(at(61), 1).await.unwrap();
    let first = world.store.claim_notifications(at(61), 10, at(71)).await.unwrap().remove(0);
    assert!(world.store.claim_notifications(at(70), 10, at(80)).await.unwrap().is_empty());
    assert_eq!(world.store.next_notification().await.unwrap(), Some(at(71)));
    let again = world.store.claim_notifications(at(71), 10, at(81)).await.unwrap().remove(0);
    assert_eq!((again.notice.id, again.tries), (first.notice.id, 2));
    let (mut when, mut delays) = (at(71), Vec::new());
    while let Some(next) = world.store.notification_failed(first.notice.id, "HTTP 500", when).await.unwrap() {
        delays.push((next - when).num_seconds());
        when = next;
        assert_eq!(
            world.store.claim_notifications(when, 10, when + TimeDelta::hours(1)).await.unwrap().len(),
            1
        );
    }
    assert_eq!(delays, [10, 20, 40, 80, 160, 320, 640, 1280], "the delay doubles");
    let (rows, _) = world.store.list_notifications(&Default::default()).await.unwrap();
    assert!(rows.is_empty(), "a limit of none shows none");
    let filter = store::views::notifications::NotificationFilter { limit: 9, ..Default::default() };
    let (rows, total) = world.store.list_notifications(&filter).await.unwrap();
    assert_eq!((total, rows[0].state.as_str(), rows[0].tries), (1, "dead", TRIES_MAX));
    assert_eq!(rows[0].error.as_deref(), Some("HTTP 500"));
}

#[tokio::test]
async fn what_was_sent_is_never_sent_again() {
    let world = world().await;
    with_deadlines(&world).await;
    world.store.miss_deadlines(at(61), 1).await.unwrap();
    let first = world.store.claim_notifications(at(61), 10, at(71)).await.unwrap().remove(0);
    world.store.notification_sent(first.notice.id, at(62)).await.unwrap();
    let late = world.store.notification_failed(first.notice.id, "timeout", at(63)).await.unwrap();
    assert_eq!(late, None);
    assert!(world.store.claim_notifications(at(99), 10, at(999)).await.unwrap().is_empty());
    assert_eq!(world.store.next_notification().await.unwrap(), None);
    assert_eq!(world.count("select count(*) from notifications where state = 'sent'").await, 1);
}
