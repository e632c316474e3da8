//! The four topics: which events go where, and their JSON, field by field in Eventsim's order.
//!
//! Nearly all of a record is pieces that were made JSON once (state, place, browser, names, track); writing one is copying.

use serde::{Deserialize, Serialize};

use crate::chain::{Chain, NO_STATE};
use crate::model::Model;
use crate::people::{Profile, quoted};

/// The topics, in the order in which an event's records are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Topic {
    ListenEvents,
    PageViewEvents,
    AuthEvents,
    StatusChangeEvents,
}

impl Topic {
    pub const ALL: [Self; 4] =
        [Self::ListenEvents, Self::PageViewEvents, Self::AuthEvents, Self::StatusChangeEvents];

    /// The name without a prefix.
    pub fn name(self) -> &'static str {
        match self {
            Self::ListenEvents => "listen_events",
            Self::PageViewEvents => "page_view_events",
            Self::AuthEvents => "auth_events",
            Self::StatusChangeEvents => "status_change_events",
        }
    }
}

/// Something that a user did: one page, which becomes a record in one or more topics.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Event {
    /// Seconds since 1970.
    pub(crate) at: u32,
    /// Index of the user; the id is this plus the first user id.
    pub(crate) user: u32,
    pub(crate) session: u64,
    pub(crate) item: u32,
    pub(crate) song: u32,
    pub(crate) state: u16,
    pub(crate) previous: u16,
    pub(crate) profile: Profile,
}

/// Pieces of JSON for each state of the chain, and the tag.
#[derive(Debug)]
pub(crate) struct Pieces {
    page: Vec<Box<str>>,
    auth_level: Vec<Box<str>>,
    level: Vec<Box<str>>,
    tag: Box<str>,
}

impl Pieces {
    pub(crate) fn new(chain: &Chain, tag: Option<&str>) -> Self {
        let each = |write: &dyn Fn(&crate::config::State) -> String| {
            chain.nodes.iter().map(|node| write(&node.state).into_boxed_str()).collect()
        };
        Self {
            page: each(&|state| {
                let (page, auth) = (quoted(&state.page), quoted(&state.auth));
                let (method, level) = (quoted(&state.method), quoted(&state.level));
                let status = state.status;
                format!(
                    r#","page":{page},"auth":{auth},"method":{method},"status":{status},"level":{level},"itemInSession":"#
                )
            }),
            auth_level: each(&|state| {
                format!(
                    r#","auth":{},"level":{},"itemInSession":"#,
                    quoted(&state.auth),
                    quoted(&state.level)
                )
            }),
            level: each(&|state| format!(r#","level":{},"itemInSession":"#, quoted(&state.level))),
            tag: tag.map(|tag| format!(r#","tag":{}"#, quoted(tag))).unwrap_or_default().into_boxed_str(),
        }
    }
}

impl Model {
    /// The topics that an event belongs to.
    pub(crate) fn topics(&self, event: &Event) -> impl Iterator<Item = Topic> + use<> {
        let node = self.chain.node(event.state);
        let (listen, status) = (node.plays_song, node.changes_level);
        let auth = event.previous != NO_STATE && self.chain.node(event.previous).is_login;
        Topic::ALL.into_iter().filter(move |topic| match topic {
            Topic::ListenEvents => listen,
            Topic::PageViewEvents => true,
            Topic::AuthEvents => auth,
            Topic::StatusChangeEvents => status,
        })
    }

    /// The record key: the user's id as text, or the session's where the event shows no user.
    pub(crate) fn write_key(&self, event: &Event, out: &mut Vec<u8>) {
        if self.chain.node(event.state).shows_user {
            number(out, self.user_id(event));
        } else {
            number(out, event.session);
        }
    }

    /// Appends the event's record for one topic.
    pub(crate) fn write(&self, topic: Topic, event: &Event, out: &mut Vec<u8>) {
        let state = usize::from(event.state);
        match topic {
            Topic::PageViewEvents => {
                out.extend_from_slice(b"{");
                self.write_visit(event, &self.pieces.page[state], out);
                if self.chain.node(event.state).plays_song {
                    out.extend_from_slice(b",");
                    out.extend_from_slice(self.catalogue.track(event.song).json.as_bytes());
                }
            }
            Topic::ListenEvents => {
                out.extend_from_slice(b"{");
                out.extend_from_slice(self.catalogue.track(event.song).json.as_bytes());
                out.extend_from_slice(b",");
                self.write_visit(event, &self.pieces.auth_level[state], out);
            }
            Topic::StatusChangeEvents => {
                out.extend_from_slice(b"{");
                self.write_visit(event, &self.pieces.auth_level[state], out);
            }
            Topic::AuthEvents => {
                out.extend_from_slice(b"{");
                self.write_visit(event, &self.pieces.level[state], out);
                let success = if self.chain.node(event.state).logged_in { "true" } else { "false" };
                out.extend_from_slice(b",\"success\":");
                out.extend_from_slice(success.as_bytes());
            }
        }
        out.extend_from_slice(b"}");
    }

    /// From `ts` to the end of the user's details, which all topics share but for what is known of the state.
    fn write_visit(&self, event: &Event, state: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\"ts\":");
        milliseconds(out, event.at);
        out.extend_from_slice(b",\"sessionId\":");
        number(out, event.session);
        out.extend_from_slice(state.as_bytes());
        number(out, u64::from(event.item));
        let (place, agent) = self.people.device(&event.profile);
        out.extend_from_slice(b",");
        out.extend_from_slice(place.as_bytes());
        out.extend_from_slice(agent.as_bytes());
        if self.chain.node(event.state).shows_user {
            let (last, first) = self.people.names(&event.profile);
            out.extend_from_slice(b",\"userId\":");
            number(out, self.user_id(event));
            out.extend_from_slice(b",");
            out.extend_from_slice(last.as_bytes());
            out.extend_from_slice(b",");
            out.extend_from_slice(first.as_bytes());
            out.extend_from_slice(b",\"registration\":");
            milliseconds(out, event.profile.registration);
            out.extend_from_slice(self.pieces.tag.as_bytes());
        }
    }

    fn user_id(&self, event: &Event) -> u64 {
        self.first_user_id + u64::from(event.user)
    }
}

/// Decimal digits by hand: five numbers a record make formatting them the largest part of its cost.
fn number(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}

fn milliseconds(out: &mut Vec<u8>, seconds: u32) {
    number(out, u64::from(seconds) * 1000);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_everywhere() {
        for value in [0, 9, 10, 99, 100, 1_763_000_000_000, u64::MAX] {
            let mut out = b"x".to_vec();
            number(&mut out, value);
            assert_eq!(out, format!("x{value}").into_bytes());
        }
    }
}
