//! The rules of a consumer group, step by step, with time as an argument.

use crate::group::{Group, Joined, Joining, State, Synced};
use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio::sync::oneshot::{self, Receiver, error::TryRecvError};

const SESSION: Duration = Duration::from_secs(10);
const REBALANCE: Duration = Duration::from_secs(30);
const DELAY: Duration = Duration::from_millis(100);

type Answer<T> = Receiver<Result<T, ResponseError>>;

fn join_with(group: &mut Group, now: Instant, id: &str, protocols: &[(&str, &str)]) -> Answer<Joined> {
    if !group.members.contains_key(id) {
        group.admit(now, id.to_owned(), SESSION).unwrap();
    }
    rejoin(group, now, id, None, protocols)
}

fn rejoin(
    group: &mut Group,
    now: Instant,
    id: &str,
    instance: Option<&str>,
    protocols: &[(&str, &str)],
) -> Answer<Joined> {
    let (reply, answer) = oneshot::channel();
    let protocols = protocols.iter().map(|(n, m)| (n.to_string(), Bytes::copy_from_slice(m.as_bytes())));
    let joining = Joining {
        member_id: id.to_owned(),
        instance_id: instance.map(str::to_owned),
        client_id: "test".to_owned(),
        client_host: "127.0.0.1".to_owned(),
        session_timeout: SESSION,
        rebalance_timeout: REBALANCE,
        protocol_type: "consumer".to_owned(),
        protocols: protocols.collect(),
        reply,
    };
    group.join(now, joining);
    answer
}

fn join(group: &mut Group, now: Instant, id: &str) -> Answer<Joined> {
    join_with(group, now, id, &[("range", id)])
}

fn sync(
    group: &mut Group,
    now: Instant,
    id: &str,
    generation: i32,
    shares: &[(&str, &str)],
) -> Answer<Synced> {
    let (reply, answer) = oneshot::channel();
    let share = |(id, share): &(&str, &str)| (id.to_string(), Bytes::copy_from_slice(share.as_bytes()));
    let shares: BTreeMap<_, _> = shares.iter().map(share).collect();
    group.sync(now, id, generation, shares, reply);
    answer
}

fn answered<T>(mut answer: Answer<T>) -> Result<T, ResponseError> {
    answer.try_recv().expect("an answer must have been given")
}

fn waits<T: std::fmt::Debug>(answer: &mut Answer<T>) -> bool {
    matches!(answer.try_recv(), Err(TryRecvError::Empty))
}

/// A stable group of a (leader) and b in generation 1.
fn stable_pair(now: Instant) -> Group {
    let mut group = Group::new();
    let (a, b) = (join(&mut group, now, "a"), join(&mut group, now, "b"));
    group.tick(now + DELAY);
    assert_eq!(answered(a).unwrap().generation, 1);
    assert_eq!(answered(b).unwrap().generation, 1);
    let b = sync(&mut group, now, "b", 1, &[]);
    let a = sync(&mut group, now, "a", 1, &[("a", "0"), ("b", "1")]);
    assert_eq!(answered(a).unwrap().assignment, "0");
    assert_eq!(answered(b).unwrap().assignment, "1");
    assert_eq!(group.state, State::Stable);
    group
}

#[test]
fn first_members_wait_shortly_for_each_other() {
    let now = Instant::now();
    let mut group = Group::new();
    let mut a = join(&mut group, now, "a");
    let b = join(&mut group, now + DELAY / 2, "b");
    assert_eq!(group.next_due(), Some(now + DELAY));
    assert!(waits(&mut a));
    group.tick(now + DELAY);
    let (a, b) = (answered(a).unwrap(), answered(b).unwrap());
    assert_eq!((a.leader.as_str(), b.leader.as_str()), ("a", "a"));
    let told: Vec<_> = a.members.iter().map(|m| (m.member_id.as_str(), &m.metadata[..])).collect();
    assert_eq!(told, [("a", &b"a"[..]), ("b", &b"b"[..])]);
    assert!(b.members.is_empty(), "only the leader is told who is there");
}

#[test]
fn followers_wait_for_the_leaders_shares() {
    let now = Instant::now();
    let mut group = Group::new();
    let _answers = (join(&mut group, now, "a"), join(&mut group, now, "b"));
    group.tick(now + DELAY);
    let mut b = sync(&mut group, now, "b", 1, &[("b", "not mine to say")]);
    assert!(waits(&mut b));
    let a = sync(&mut group, now, "a", 1, &[("a", "x"), ("b", "y")]);
    assert_eq!(answered(a).unwrap().assignment, "x");
    assert_eq!(answered(b).unwrap().assignment, "y");
}

#[test]
fn newcomer_makes_all_join_anew() {
    let now = Instant::now();
    let mut group = stable_pair(now);
    let mut c = join(&mut group, now, "c");
    assert!(waits(&mut c));
    assert_eq!(group.heartbeat(now, "a", 1), Err(ResponseError::RebalanceInProgress));
    assert_eq!(group.check_commit(now, "a", 1), Ok(()), "members commit before they join anew");
    let (a, b) = (join(&mut group, now, "a"), join(&mut group, now, "b"));
    for answer in [a, b, c] {
        assert_eq!(answered(answer).unwrap().generation, 2);
    }
    assert_eq!(group.heartbeat(now, "a", 1), Err(ResponseError::IllegalGeneration));
    assert_eq!(group.check_commit(now, "a", 2), Err(ResponseError::RebalanceInProgress));
}

#[test]
fn member_that_does_not_join_anew_is_left_behind_at_the_deadline() {
    let now = Instant::now();
    let mut group = stable_pair(now);
    let mut c = join(&mut group, now, "c");
    let a = join(&mut group, now, "a");
    // b goes on with heartbeats but never joins.
    for second in 1..30 {
        let at = now + Duration::from_secs(second);
        assert_eq!(group.heartbeat(at, "b", 1), Err(ResponseError::RebalanceInProgress));
        group.tick(at);
    }
    assert!(waits(&mut c));
    group.tick(now + REBALANCE);
    assert_eq!(answered(a).unwrap().members.len(), 2);
    assert_eq!(answered(c).unwrap().generation, 2);
    assert_eq!(group.heartbeat(now + REBALANCE, "b", 1), Err(ResponseError::UnknownMemberId));
}

#[test]
fn silent_member_is_lost_after_its_session() {
    let now = Instant::now();
    let mut group = stable_pair(now);
    let later = now + Duration::from_secs(6);
    assert_eq!(group.heartbeat(later, "a", 1), Ok(()));
    assert_eq!(group.next_due(), Some(now + SESSION));
    group.tick(now + SESSION);
    assert_eq!(group.members.keys().collect::<Vec<_>>(), ["a"]);
    let lost = now + SESSION;
    assert_eq!(group.heartbeat(lost, "a", 1), Err(ResponseError::RebalanceInProgress));
    let a = join(&mut group, lost, "a");
    assert_eq!(answered(a).unwrap().generation, 2);
}

#[test]
fn lost_leader_frees_the_followers_that_wait_for_it() {
    let now = Instant::now();
    let mut group = Group::new();
    let _answers = (join(&mut group, now, "a"), join(&mut group, now, "b"));
    group.tick(now + DELAY);
    let b = sync(&mut group, now, "b", 1, &[]);
    group.tick(now + DELAY + SESSION);
    assert_eq!(answered(b), Err(ResponseError::RebalanceInProgress));
    let b = join(&mut group, now + DELAY + SESSION, "b");
    assert_eq!(answered(b).unwrap().leader, "b");
}

#[test]
fn leaving_member_is_gone_at_once() {
    let now = Instant::now();
    let mut group = stable_pair(now);
    assert_eq!(group.leave(now, "a"), Ok(()));
    assert_eq!(group.leave(now, "a"), Err(ResponseError::UnknownMemberId));
    assert_eq!(group.heartbeat(now, "b", 1), Err(ResponseError::RebalanceInProgress));
    assert_eq!(group.leave(now, "b"), Ok(()));
    assert_eq!(group.state, State::Empty);
    assert!(group.is_deserted());
}

#[test]
fn follower_that_joins_unchanged_disturbs_nobody() {
    let now = Instant::now();
    let mut group = stable_pair(now);
    assert_eq!(answered(join(&mut group, now, "b")).unwrap().generation, 1);
    assert_eq!(group.state, State::Stable);
    let mut changed = join_with(&mut group, now, "b", &[("range", "other topics")]);
    assert!(waits(&mut changed));
    assert!(matches!(group.state, State::Preparing { .. }));
}

#[test]
fn protocol_is_the_leaders_first_that_all_speak() {
    let now = Instant::now();
    let mut group = Group::new();
    let a = join_with(&mut group, now, "a", &[("sticky", ""), ("range", "")]);
    let _b = join_with(&mut group, now, "b", &[("roundrobin", ""), ("range", "")]);
    let c = join_with(&mut group, now, "c", &[("sticky", "")]);
    assert_eq!(answered(c), Err(ResponseError::InconsistentGroupProtocol));
    group.tick(now + DELAY);
    assert_eq!(answered(a).unwrap().protocol, "range");
}

#[test]
fn only_admitted_members_join() {
    let now = Instant::now();
    let mut group = Group::new();
    let stranger = rejoin(&mut group, now, "stranger", None, &[("range", "")]);
    assert_eq!(answered(stranger), Err(ResponseError::UnknownMemberId));
    group.admit(now, "late".to_owned(), SESSION).unwrap();
    group.tick(now + SESSION);
    let late = rejoin(&mut group, now + SESSION, "late", None, &[("range", "")]);
    assert_eq!(answered(late), Err(ResponseError::UnknownMemberId));
}

#[test]
fn static_member_takes_the_place_of_its_former_self() {
    let now = Instant::now();
    let mut group = Group::new();
    group.admit(now, "old".to_owned(), SESSION).unwrap();
    let _old = rejoin(&mut group, now, "old", Some("instance"), &[("range", "")]);
    group.tick(now + DELAY);
    group.admit(now, "new".to_owned(), SESSION).unwrap();
    let new = rejoin(&mut group, now + DELAY, "new", Some("instance"), &[("range", "")]);
    assert_eq!(answered(new).unwrap().generation, 2);
    assert_eq!(group.members.keys().collect::<Vec<_>>(), ["new"]);
    assert_eq!(group.member_of_instance("instance").as_deref(), Some("new"));
}

#[test]
fn consumers_outside_of_groups_commit_only_where_nobody_is() {
    let now = Instant::now();
    assert_eq!(Group::new().check_commit(now, "", -1), Ok(()));
    assert_eq!(stable_pair(now).check_commit(now, "", -1), Err(ResponseError::UnknownMemberId));
}
