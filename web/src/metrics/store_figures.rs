//! What the database says of all nodes: the queue, runs, slots, pools, services, heartbeats, and invariants that do not hold.

use super::text::Exposition;
use chrono::{DateTime, Utc};
use serde_json::Value;
use store::retention::PASSES;
use store::views::health::{Health, NodeHealth};
use store::views::metrics::{LiveFigures, ServiceFigures};

pub fn write(out: &mut Exposition, health: &Health, live: &LiveFigures, now: DateTime<Utc>) {
    write_queues(out, live, now);
    write_states(out, live);
    write_nodes(out, health, now);
    write_pools(out, live);
    write_services(out, &live.services);
    write_waiting(out, live, now);
    write_tables(out, health);
    write_prunings(out, health);
    let mut violated = out.gauge("streamify_invariant_violations", "Rows that must not exist; 0 is healthy.");
    let invariants = serde_json::to_value(&health.invariants).unwrap_or_default();
    for (name, count) in invariants.as_object().into_iter().flatten() {
        violated.sample(&[("invariant", name)], count.as_f64().unwrap_or_default());
    }
    out.gauge("streamify_database_clock_skew_seconds", "The database's clock minus this node's.")
        .sample(&[], health.clock_skew_ms as f64 / 1000.0);
    out.gauge(
        "streamify_database_oldest_snapshot_seconds",
        "Age of the oldest transaction that keeps dead rows.",
    )
    .sample(&[], health.oldest_snapshot_seconds);
    let mut connections =
        out.gauge("streamify_database_connections", "Connections of this node's pool, by state.");
    connections.sample(&[("state", "used")], live.connections.used as f64);
    connections.sample(&[("state", "idle")], live.connections.idle as f64);
    out.gauge("streamify_database_connections_limit", "Connections that this node's pool may open.")
        .sample(&[], f64::from(live.connections.limit));
}

fn write_waiting(out: &mut Exposition, live: &LiveFigures, now: DateTime<Utc>) {
    let waiting = &live.waiting;
    out.gauge("streamify_run_queue_oldest_age_seconds", "How long the oldest queued run could have run.")
        .sample(&[], waiting.oldest_run_after.map_or(0.0, |at| seconds(at, now)));
    out.gauge("streamify_notices_waiting", "Notices that are not sent yet.")
        .sample(&[], waiting.notices as f64);
    out.gauge("streamify_approvals_open", "Questions of tasks that nobody has answered yet.")
        .sample(&[], waiting.approvals as f64);
    out.gauge("streamify_dag_problems", "Problems in dag files.").sample(&[], waiting.problems as f64);
    let mut failing = out
        .gauge("streamify_dag_failing", "1 for a dag that is not paused and whose newest ended run failed.");
    for dag in &live.failing_dags {
        failing.sample(&[("dag", dag)], 1.0);
    }
}

/// As the statistics of Postgres have them.
fn write_tables(out: &mut Exposition, health: &Health) {
    let mut bytes = out.gauge("streamify_table_bytes", "Size of a table with its indexes.");
    for table in &health.tables {
        bytes.sample(&[("table", &table.name)], table.bytes as f64);
    }
    let mut dead = out.gauge("streamify_table_dead_rows", "Rows that vacuum has not removed yet.");
    for table in &health.tables {
        dead.sample(&[("table", &table.name)], table.dead_rows as f64);
    }
}

/// Counted in the database, in the transaction that removes: every node tells the same, and no restart forgets it.
fn write_prunings(out: &mut Exposition, health: &Health) {
    let (passes, rows): (Vec<_>, Vec<_>) = health.pruned.iter().partition(|row| row.what == PASSES);
    let mut removed =
        out.counter("streamify_pruned_rows_total", "Rows removed for their age, by what they were.");
    for row in rows {
        removed.sample(&[("what", &row.what)], row.removed as f64);
    }
    let mut last = out
        .gauge("streamify_prune_last_pass_timestamp_seconds", "When the newest pass over old history ended.");
    for row in passes {
        last.sample(&[], row.last_at.timestamp_millis() as f64 / 1000.0);
    }
}

fn write_queues(out: &mut Exposition, live: &LiveFigures, now: DateTime<Utc>) {
    let class = |is_service: bool| if is_service { "service" } else { "task" };
    let mut attempts = out.gauge("streamify_attempts", "Live attempts by queue, class and state.");
    for q in &live.queues {
        for (state, count) in [("queued", q.queued), ("running", q.running)] {
            let labels = [("queue", q.queue.as_str()), ("class", class(q.is_service)), ("state", state)];
            attempts.sample(&labels, count as f64);
        }
    }
    let mut oldest = out.gauge("streamify_queue_oldest_age_seconds", "How long the oldest attempt waits.");
    for q in &live.queues {
        let age = q.oldest_queued_at.map_or(0.0, |at| seconds(at, now));
        oldest.sample(&[("queue", &q.queue), ("class", class(q.is_service))], age);
    }
}

fn write_states(out: &mut Exposition, live: &LiveFigures) {
    let mut runs = out.gauge("streamify_runs", "Runs that are not final, by state.");
    for (state, count) in &live.runs {
        runs.sample(&[("state", state)], *count as f64);
    }
    let mut instances = out.gauge("streamify_task_instances", "Task instances of running runs, by state.");
    for (state, count) in &live.instances {
        instances.sample(&[("state", state)], *count as f64);
    }
}

fn write_nodes(out: &mut Exposition, health: &Health, now: DateTime<Utc>) {
    let live: Vec<&NodeHealth> = health.nodes.iter().filter(|node| node.ended_at.is_none()).collect();
    let mut slots = out.gauge("streamify_node_slots_used", "Attempts that a live node runs, by class.");
    for node in &live {
        slots.sample(&[("node", &node.name), ("class", "task")], node.used_slots as f64);
        slots.sample(&[("node", &node.name), ("class", "service")], node.used_service_slots as f64);
    }
    let mut limits =
        out.gauge("streamify_node_slots", "Attempts that a live node may run at once, by class.");
    for node in &live {
        for (class, slots) in [("task", node.task_slots), ("service", node.service_slots)] {
            if let Some(slots) = slots {
                limits.sample(&[("node", &node.name), ("class", class)], f64::from(slots));
            }
        }
    }
    let mut heartbeats = out.gauge("streamify_node_heartbeat_age_seconds", "Since a live node was heard of.");
    for node in &live {
        heartbeats.sample(&[("node", &node.name)], seconds(node.last_seen_at, now));
    }
    let mut duties = out.gauge("streamify_duty_held", "1 while a node holds the duty.");
    for duty in &health.duties {
        duties.sample(&[("duty", &duty.name)], f64::from(u8::from(duty.expires_at > now)));
    }
    let mut leases =
        out.gauge("streamify_duty_lease_seconds", "For how long the lease of a duty still stands.");
    for duty in &health.duties {
        leases.sample(&[("duty", &duty.name)], seconds(now, duty.expires_at));
    }
}

fn write_pools(out: &mut Exposition, live: &LiveFigures) {
    type Figure = (&'static str, &'static str, fn(&store::views::metrics::PoolFigures) -> f64);
    let figures: [Figure; 3] = [
        ("streamify_pool_slots", "Slots of a pool.", |pool| f64::from(pool.slots)),
        ("streamify_pool_slots_used", "Slots of a pool that running attempts take.", |pool| pool.used as f64),
        ("streamify_pool_slots_wanted", "Slots of a pool that queued attempts wait for.", |pool| {
            pool.wanted as f64
        }),
    ];
    for (name, help, value) in figures {
        let mut family = out.gauge(name, help);
        for pool in &live.pools {
            family.sample(&[("pool", &pool.name)], value(pool));
        }
    }
}

fn write_services(out: &mut Exposition, services: &[ServiceFigures]) {
    type Figure = (&'static str, &'static str, fn(&ServiceFigures) -> Option<f64>);
    let figures: [Figure; 4] = [
        ("streamify_service_up", "1 while the service runs, 0 while it waits to.", |s| {
            Some(f64::from(u8::from(s.running)))
        }),
        ("streamify_service_ready", "1 while the service is ready.", |s| {
            Some(f64::from(u8::from(s.running && s.ready)))
        }),
        ("streamify_service_restarts", "How often the service was started again in this run.", |s| {
            Some(f64::from(s.restarts))
        }),
        (
            "streamify_service_lag",
            "How much the service has still to work through, where it tells it.",
            |s| lag(s.status.as_ref()?),
        ),
    ];
    for (name, help, value) in figures {
        let mut family = out.gauge(name, help);
        for service in services {
            let map_index = service.map_index.to_string();
            let labels =
                [("dag", service.dag_id.as_str()), ("task", &service.task_id), ("map_index", &map_index)];
            if let Some(value) = value(service) {
                family.sample(&labels, value);
            }
        }
    }
}

/// What the service says itself, or the sum over its topics; unknown while one of them does not know.
fn lag(status: &Value) -> Option<f64> {
    if let Some(lag) = status.get("lag").filter(|lag| !lag.is_null()) {
        return lag.as_f64();
    }
    let topics = status.get("topics")?.as_object()?;
    let known: Vec<&Value> = topics.values().filter_map(|topic| topic.get("lag")).collect();
    if known.is_empty() { None } else { known.into_iter().map(Value::as_f64).sum() }
}

fn seconds(since: DateTime<Utc>, now: DateTime<Utc>) -> f64 {
    ((now - since).num_milliseconds().max(0) as f64) / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_lag_of_a_service_is_its_own_word_or_that_of_all_its_topics() {
        assert_eq!(lag(&json!({ "lag": 5, "topics": { "a": { "lag": 1 } } })), Some(5.0));
        assert_eq!(lag(&json!({ "topics": { "a": { "lag": 1 }, "b": { "lag": 2 } } })), Some(3.0));
        assert_eq!(lag(&json!({ "topics": { "a": { "lag": 1 }, "b": { "lag": null } } })), None);
        assert_eq!(lag(&json!({ "topics": { "a": { "rows": 1 } } })), None);
    }
}
