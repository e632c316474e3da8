//! What thousands of tasks that wait at once cost: by the clock, and by looking for an object.

use super::node::{Bench, Node};
use super::{dags, targets};
use anyhow::Result;
use std::thread::sleep;
use std::time::{Duration, Instant};

const TASKS: usize = 5_000;
const FOR: Duration = Duration::from_secs(60);
/// Between two looks at who has a slot.
const EVERY: Duration = Duration::from_millis(500);

pub fn run(bench: &Bench, node: &Node) -> Result<()> {
    let shapes = [
        ("wait_time", "uses: wait.time, with: { for: 1h }", "`wait.time`"),
        (
            "wait_object",
            "uses: wait.object, with: { url: never/*.csv, poll: 1m }",
            "`wait.object`, each looks once a minute",
        ),
    ];
    for (id, uses, name) in shapes {
        bench.add(id, &dags::wide_of(id, TASKS, uses))?;
        let before = node.memory()?;
        node.trigger(id, "r1")?;
        let waiting = format!(
            "select count(*) from task_instances i join runs r on r.id = i.run where r.dag_id = '{id}' and i.state = 'up_for_reschedule'"
        );
        bench.until(&waiting, |count| count >= TASKS as f64)?;
        let figures = watch(bench, node, id)?;
        let memory = node.memory()? - before;
        let what = format!("{TASKS} tasks waiting at once for a minute, {name}");
        let figure = format!(
            "{:.2} CPU s, {:.1} of the slots in the mean, {memory:+.0} MB, {:.0} transactions/s",
            figures.cpu, figures.slots, figures.transactions
        );
        targets::row(&what, &figure, "", "no slots");
        bench.psql.ask(&format!(
            "update runs set cancel_requested_at = now(), wake_at = now(), revision = revision + 1 where dag_id = '{id}'"
        ))?;
        let open = format!("select count(*) from runs where dag_id = '{id}' and ended_at is null");
        bench.until(&open, |count| count < 1.0)?;
    }
    Ok(())
}

struct Figures {
    cpu: f64,
    slots: f64,
    transactions: f64,
}

fn watch(bench: &Bench, node: &Node, dag: &str) -> Result<Figures> {
    let commits =
        "select xact_commit + xact_rollback from pg_stat_database where datname = current_database()";
    let slots = format!(
        "select count(*) from attempts a join runs r on r.id = a.run where r.dag_id = '{dag}' and a.state = 'running'"
    );
    let (cpu, done, began) = (node.cpu()?, bench.psql.figure(commits)?, Instant::now());
    let (mut used, mut looks) = (0.0, 0.0);
    while began.elapsed() < FOR {
        used += bench.psql.figure(&slots)?;
        looks += 1.0;
        sleep(EVERY);
    }
    let seconds = began.elapsed().as_secs_f64();
    Ok(Figures {
        cpu: (node.cpu()? - cpu) * 60.0 / seconds,
        slots: used / looks,
        // Each look here is one, too.
        transactions: (bench.psql.figure(commits)? - done - looks) / seconds,
    })
}
