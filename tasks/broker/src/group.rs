//! One consumer group as a state machine (the classic protocol). Time is an argument; nothing here waits.
//!
//! ```text
//! Empty --join--> Preparing --all joined or time is up--> Completing --leader's sync--> Stable
//!                     ^------------- member joins anew, leaves or is lost -------------------'
//! ```
//! Joins and syncs are answered through channels, as their answers come with a later step. Not here: offsets.

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// How long the first member of an empty group waits for others, which spares a second rebalance.
const FIRST_JOIN_DELAY: Duration = Duration::from_millis(100);
const MAX_MEMBERS: usize = 1_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Empty,
    /// Members are asked to join anew; complete at the deadline, but not before `not_before`.
    Preparing {
        not_before: Instant,
        deadline: Instant,
    },
    /// All have joined; the leader's assignment is awaited.
    Completing,
    Stable,
}

impl State {
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Preparing { .. } => "PreparingRebalance",
            Self::Completing => "CompletingRebalance",
            Self::Stable => "Stable",
        }
    }
}

/// A request to join, after its member id was admitted.
pub(crate) struct Joining {
    pub member_id: String,
    pub instance_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub session_timeout: Duration,
    pub rebalance_timeout: Duration,
    pub protocol_type: String,
    /// Names with the member's metadata, the preferred first.
    pub protocols: Vec<(String, Bytes)>,
    pub reply: oneshot::Sender<Result<Joined, ResponseError>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Joined {
    pub generation: i32,
    pub protocol_type: String,
    pub protocol: String,
    pub leader: String,
    pub member_id: String,
    /// Told to the leader alone.
    pub members: Vec<JoinedMember>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JoinedMember {
    pub member_id: String,
    pub instance_id: Option<String>,
    pub metadata: Bytes,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Synced {
    pub protocol_type: String,
    pub protocol: String,
    pub assignment: Bytes,
}

pub(crate) struct Member {
    pub instance_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub assignment: Bytes,
    session_timeout: Duration,
    rebalance_timeout: Duration,
    protocols: Vec<(String, Bytes)>,
    last_seen: Instant,
    join: Option<oneshot::Sender<Result<Joined, ResponseError>>>,
    sync: Option<oneshot::Sender<Result<Synced, ResponseError>>>,
}

impl Member {
    /// A member whose request waits here is alive, though it cannot send heartbeats meanwhile.
    fn expires(&self) -> Option<Instant> {
        let waits = self.join.is_some() || self.sync.is_some();
        (!waits).then(|| self.last_seen + self.session_timeout)
    }

    pub fn metadata(&self, protocol: &str) -> Bytes {
        let named = self.protocols.iter().find(|(name, _)| name == protocol);
        named.map(|(_, metadata)| metadata.clone()).unwrap_or_default()
    }
}

pub(crate) struct Group {
    pub state: State,
    pub protocol_type: String,
    pub protocol: String,
    pub members: BTreeMap<String, Member>,
    generation: i32,
    leader: String,
    /// Ids given out and not yet used, with the time they lapse.
    admitted: BTreeMap<String, Instant>,
}

impl Group {
    pub fn new() -> Self {
        Self {
            state: State::Empty,
            protocol_type: String::new(),
            protocol: String::new(),
            members: BTreeMap::new(),
            generation: 0,
            leader: String::new(),
            admitted: BTreeMap::new(),
        }
    }

    /// Notes a member id that was given out, to be used by the next join.
    pub fn admit(&mut self, now: Instant, member_id: String, lapse: Duration) -> Result<(), ResponseError> {
        if self.members.len() + self.admitted.len() >= MAX_MEMBERS {
            return Err(ResponseError::GroupMaxSizeReached);
        }
        self.admitted.insert(member_id, now + lapse);
        Ok(())
    }

    /// Joins, or joins anew. The answer comes through `joining.reply`.
    pub fn join(&mut self, now: Instant, joining: Joining) {
        if let Err(error) = self.check_join(&joining) {
            let _ = joining.reply.send(Err(error));
            return;
        }
        self.admitted.remove(&joining.member_id);
        let unchanged =
            self.members.get(&joining.member_id).is_some_and(|m| m.protocols == joining.protocols);
        let leads = self.leader == joining.member_id;
        let settled = match self.state {
            State::Stable => unchanged && !leads,
            State::Completing => unchanged,
            State::Empty | State::Preparing { .. } => false,
        };
        if settled {
            self.seen(now, &joining.member_id);
            let _ = joining.reply.send(Ok(self.joined(&joining.member_id)));
            return;
        }
        self.put_member(now, joining);
        match self.state {
            State::Preparing { .. } => {}
            State::Empty => self.prepare(now, FIRST_JOIN_DELAY),
            State::Completing | State::Stable => self.prepare(now, Duration::ZERO),
        }
        self.complete_if_all_joined(now);
    }

    fn check_join(&self, joining: &Joining) -> Result<(), ResponseError> {
        let id = &joining.member_id;
        if !self.members.contains_key(id) && !self.admitted.contains_key(id) {
            return Err(ResponseError::UnknownMemberId);
        }
        if joining.protocol_type.is_empty() || joining.protocols.is_empty() {
            return Err(ResponseError::InconsistentGroupProtocol);
        }
        let mut others =
            self.members.iter().filter(|(other, _)| *other != id).map(|(_, member)| member).peekable();
        if others.peek().is_none() {
            return Ok(());
        }
        let others: Vec<_> = others.collect();
        let supported =
            |name: &str| others.iter().all(|m| m.protocols.iter().any(|(theirs, _)| theirs == name));
        let common = joining.protocols.iter().any(|(name, _)| supported(name));
        if joining.protocol_type != self.protocol_type || !common {
            return Err(ResponseError::InconsistentGroupProtocol);
        }
        Ok(())
    }

    fn put_member(&mut self, now: Instant, joining: Joining) {
        if joining.instance_id.is_some() {
            self.members.retain(|id, m| *id == joining.member_id || m.instance_id != joining.instance_id);
        }
        self.protocol_type = joining.protocol_type;
        let old = self.members.remove(&joining.member_id);
        let member = Member {
            instance_id: joining.instance_id,
            client_id: joining.client_id,
            client_host: joining.client_host,
            assignment: old.map(|member| member.assignment).unwrap_or_default(),
            session_timeout: joining.session_timeout,
            rebalance_timeout: joining.rebalance_timeout,
            protocols: joining.protocols,
            last_seen: now,
            join: Some(joining.reply),
            sync: None,
        };
        self.members.insert(joining.member_id, member);
    }

    /// Asks all members to join anew.
    fn prepare(&mut self, now: Instant, delay: Duration) {
        let patience = self.members.values().map(|member| member.rebalance_timeout).max().unwrap_or_default();
        self.state = State::Preparing { not_before: now + delay, deadline: now + patience.max(delay) };
        for member in self.members.values_mut() {
            if let Some(reply) = member.sync.take() {
                member.last_seen = now;
                let _ = reply.send(Err(ResponseError::RebalanceInProgress));
            }
        }
    }

    fn complete_if_all_joined(&mut self, now: Instant) {
        let State::Preparing { not_before, .. } = self.state else { return };
        if now >= not_before && self.members.values().all(|member| member.join.is_some()) {
            self.complete(now);
        }
    }

    /// Begins the next generation with those who have joined.
    fn complete(&mut self, now: Instant) {
        self.members.retain(|_, member| member.join.is_some());
        self.generation += 1;
        let Some(first) = self.members.keys().next().cloned() else {
            self.state = State::Empty;
            return;
        };
        if !self.members.contains_key(&self.leader) {
            self.leader = first;
        }
        self.protocol = self.common_protocol();
        self.state = State::Completing;
        let ids: Vec<String> = self.members.keys().cloned().collect();
        for id in ids {
            let answer = self.joined(&id);
            if let Some(member) = self.members.get_mut(&id) {
                member.last_seen = now;
                if let Some(reply) = member.join.take() {
                    let _ = reply.send(Ok(answer));
                }
            }
        }
    }

    /// The leader's most preferred protocol that all members speak.
    fn common_protocol(&self) -> String {
        let spoken =
            |name: &String| self.members.values().all(|m| m.protocols.iter().any(|(n, _)| n == name));
        let of_leader =
            self.members.get(&self.leader).map(|leader| &leader.protocols[..]).unwrap_or_default();
        of_leader.iter().map(|(name, _)| name).find(|name| spoken(name)).cloned().unwrap_or_default()
    }

    fn joined(&self, member_id: &str) -> Joined {
        let describe = |(id, member): (&String, &Member)| JoinedMember {
            member_id: id.clone(),
            instance_id: member.instance_id.clone(),
            metadata: member.metadata(&self.protocol),
        };
        let leads = self.leader == member_id;
        Joined {
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            member_id: member_id.to_owned(),
            members: if leads { self.members.iter().map(describe).collect() } else { Vec::new() },
        }
    }

    /// A member asks for its share; the leader brings those of all.
    pub fn sync(
        &mut self,
        now: Instant,
        member_id: &str,
        generation: i32,
        shares: BTreeMap<String, Bytes>,
        reply: oneshot::Sender<Result<Synced, ResponseError>>,
    ) {
        let checked = self.check_member(now, member_id, generation).and(match self.state {
            State::Completing | State::Stable => Ok(()),
            State::Empty | State::Preparing { .. } => Err(ResponseError::RebalanceInProgress),
        });
        if let Err(error) = checked {
            let _ = reply.send(Err(error));
            return;
        }
        if let Some(member) = self.members.get_mut(member_id) {
            member.sync = Some(reply);
        }
        if self.state == State::Completing && self.leader == member_id {
            for (id, member) in &mut self.members {
                member.assignment = shares.get(id).cloned().unwrap_or_default();
            }
            self.state = State::Stable;
        }
        if self.state == State::Stable {
            self.answer_syncs(now);
        }
    }

    fn answer_syncs(&mut self, now: Instant) {
        for member in self.members.values_mut() {
            let Some(reply) = member.sync.take() else { continue };
            member.last_seen = now;
            let (protocol_type, protocol) = (self.protocol_type.clone(), self.protocol.clone());
            let _ = reply.send(Ok(Synced { protocol_type, protocol, assignment: member.assignment.clone() }));
        }
    }

    pub fn heartbeat(&mut self, now: Instant, member_id: &str, generation: i32) -> Result<(), ResponseError> {
        self.check_member(now, member_id, generation)?;
        match self.state {
            State::Preparing { .. } => Err(ResponseError::RebalanceInProgress),
            _ => Ok(()),
        }
    }

    /// Whether offsets may be committed. A consumer outside of groups says generation -1 and no member.
    pub fn check_commit(
        &mut self,
        now: Instant,
        member_id: &str,
        generation: i32,
    ) -> Result<(), ResponseError> {
        if generation < 0 && member_id.is_empty() && self.members.is_empty() {
            return Ok(());
        }
        self.check_member(now, member_id, generation)?;
        match self.state {
            State::Completing => Err(ResponseError::RebalanceInProgress),
            _ => Ok(()),
        }
    }

    fn check_member(&mut self, now: Instant, member_id: &str, generation: i32) -> Result<(), ResponseError> {
        if !self.seen(now, member_id) {
            return Err(ResponseError::UnknownMemberId);
        }
        if generation != self.generation {
            return Err(ResponseError::IllegalGeneration);
        }
        Ok(())
    }

    fn seen(&mut self, now: Instant, member_id: &str) -> bool {
        self.members.get_mut(member_id).map(|member| member.last_seen = now).is_some()
    }

    pub fn leave(&mut self, now: Instant, member_id: &str) -> Result<(), ResponseError> {
        let admitted = self.admitted.remove(member_id).is_some();
        if self.members.remove(member_id).is_none() {
            return if admitted { Ok(()) } else { Err(ResponseError::UnknownMemberId) };
        }
        self.after_loss(now);
        Ok(())
    }

    /// The id of the member with this instance id.
    pub fn member_of_instance(&self, instance_id: &str) -> Option<String> {
        let named = |(_, member): &(&String, &Member)| member.instance_id.as_deref() == Some(instance_id);
        self.members.iter().find(named).map(|(id, _)| id.clone())
    }

    fn after_loss(&mut self, now: Instant) {
        if self.members.is_empty() {
            self.state = State::Empty;
        } else if matches!(self.state, State::Preparing { .. }) {
            self.complete_if_all_joined(now);
        } else {
            self.prepare(now, Duration::ZERO);
        }
    }

    /// Does what time has made due.
    pub fn tick(&mut self, now: Instant) {
        self.admitted.retain(|_, lapse| *lapse > now);
        let before = self.members.len();
        self.members.retain(|_, member| member.expires().is_none_or(|expires| expires > now));
        if self.members.len() < before {
            self.after_loss(now);
        }
        match self.state {
            State::Preparing { deadline, .. } if deadline <= now => self.complete(now),
            State::Preparing { .. } => self.complete_if_all_joined(now),
            _ => {}
        }
    }

    /// When `tick` has something to do next.
    pub fn next_due(&self) -> Option<Instant> {
        let step = match self.state {
            State::Preparing { not_before, .. } if self.members.values().all(|m| m.join.is_some()) => {
                Some(not_before)
            }
            State::Preparing { deadline, .. } => Some(deadline),
            _ => None,
        };
        let expiries = self.members.values().filter_map(Member::expires);
        expiries.chain(self.admitted.values().copied()).chain(step).min()
    }

    /// True if nobody is here nor about to come: the group need not be remembered.
    pub fn is_deserted(&self) -> bool {
        self.members.is_empty() && self.admitted.is_empty()
    }
}
