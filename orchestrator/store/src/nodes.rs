//! Nodes, their heartbeats, and duties that need one owner.

use crate::{Result, Store};
use chrono::{DateTime, Utc};
use std::time::Duration;
use uuid::Uuid;

#[derive(Debug, Clone)]
pub struct NewNode {
    pub id: Uuid,
    pub name: String,
    pub host: String,
    pub pid: i32,
    /// Where other nodes reach its web server, if it has one.
    pub http_url: Option<String>,
    pub version: String,
}

/// What the store answers to a heartbeat.
#[derive(Debug, Clone, Default)]
pub struct Heartbeat {
    /// The node is not known any more (it was given up): it must stop all its attempts and register anew.
    pub given_up: bool,
    /// (attempt, lease) that the store says this node holds; what it runs besides has been taken away and must be killed.
    pub held: Vec<(i64, i64)>,
    /// Of those, the ones asked to stop, with the reason.
    pub stop: Vec<(i64, String)>,
}

impl Store {
    pub async fn register_node(&self, _node: &NewNode, _now: DateTime<Utc>) -> Result<()> {
        todo!()
    }

    /// One update for the node; its attempts' leases live as long as its heartbeat.
    pub async fn heartbeat(&self, _node: Uuid, _now: DateTime<Utc>) -> Result<Heartbeat> {
        todo!()
    }

    /// A node that leaves by itself: what it still holds is lost at once.
    pub async fn deregister_node(&self, _node: Uuid, _now: DateTime<Utc>) -> Result<()> {
        todo!()
    }

    /// Gives up nodes without a heartbeat for `ttl`; their attempts end as `Ending::Lost`. Returns (nodes, attempts) given up.
    pub async fn expire_nodes(&self, _now: DateTime<Utc>, _ttl: Duration) -> Result<(usize, usize)> {
        todo!()
    }

    /// Takes or keeps a duty (`planner`, `reaper`, `route:warehouse`) for `ttl`. The term grows with each change of owner; `None`: another has it.
    pub async fn hold_duty(&self, _name: &str, _node: Uuid, _now: DateTime<Utc>, _ttl: Duration) -> Result<Option<i64>> {
        todo!()
    }

    pub async fn release_duty(&self, _name: &str, _node: Uuid) -> Result<()> {
        todo!()
    }

    /// The web address of the node that holds a duty, for pages that must ask it.
    pub async fn duty_url(&self, _name: &str, _now: DateTime<Utc>) -> Result<Option<(Uuid, String)>> {
        todo!()
    }
}
