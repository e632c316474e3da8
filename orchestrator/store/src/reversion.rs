//! A run moves to the newest version of its dag: tasks are matched by their ids, and all that is known of them comes along.

use crate::{Error, Result, Store};
use model::Dag;
use model::dag::TaskDef;
use sqlx::PgConnection;
use std::collections::HashMap;

/// Positions are first put out of the way, so that two tasks can change places. More than any dag has tasks.
const ASIDE: i32 = 1_000_000;

pub(crate) struct Moved {
    pub version_id: i64,
    /// Ids of tasks that are no more, and of those that are new.
    pub removed: Vec<String>,
    pub added: Vec<String>,
}

/// Instances to delete and to make: task (old or new position), map index.
#[derive(Default)]
struct Shape {
    gone: Vec<(i32, i32)>,
    new: Vec<(i32, i32, String)>,
}

impl Store {
    /// The run is locked. Refused while an attempt of it is live.
    pub(crate) async fn move_to_newest(
        &self,
        conn: &mut PgConnection,
        dag_id: &str,
        run: i64,
        version_id: i64,
    ) -> Result<Moved> {
        let newest = sqlx::query_scalar::<_, Option<i64>>("select version_id from dags where dag_id = $1")
            .bind(dag_id)
            .fetch_one(&mut *conn)
            .await?
            .unwrap_or(version_id);
        let mut moved = Moved { version_id: newest, removed: Vec::new(), added: Vec::new() };
        if newest == version_id {
            return Ok(moved);
        }
        refuse_if_live(conn, run).await?;
        let (old, new) = (self.version_on(conn, version_id).await?, self.version_on(conn, newest).await?);
        let positions: HashMap<&str, i32> =
            (0..).zip(&new.tasks).map(|(position, task)| (task.id.as_str(), position)).collect();
        // Where each old position is now; none if its task is no more.
        let map: Vec<Option<i32>> =
            old.tasks.iter().map(|task| positions.get(task.id.as_str()).copied()).collect();
        let is_gone = |at: &usize| map[*at].is_none();
        moved.removed = (0..old.tasks.len()).filter(is_gone).map(|at| old.tasks[at].id.clone()).collect();
        let known: Vec<&str> = old.tasks.iter().map(|task| task.id.as_str()).collect();
        let is_new = |task: &&model::dag::TaskDef| !known.contains(&task.id.as_str());
        moved.added = new.tasks.iter().filter(is_new).map(|task| task.id.clone()).collect();
        let shape = shape(conn, run, &old, &new, &map).await?;
        remove(conn, run, &shape.gone).await?;
        renumber(conn, run, &map).await?;
        make(conn, run, &shape.new).await?;
        sqlx::query("update runs set version_id = $2, revision = revision + 1 where id = $1")
            .bind(run)
            .bind(newest)
            .execute(conn)
            .await?;
        Ok(moved)
    }
}

async fn refuse_if_live(conn: &mut PgConnection, run: i64) -> Result<()> {
    let live = sqlx::query_scalar::<_, i64>("select count(*) from attempts where run = $1")
        .bind(run)
        .fetch_one(conn)
        .await?;
    if live == 0 {
        return Ok(());
    }
    let message = format!(
        "{live} tasks of the run are queued or running: it can move to the newest version when it has ended, or cancel it first"
    );
    Err(Error::Refused { message })
}

/// Which instances the new version has no place for, and which it has more. A run that has not begun yet has none.
async fn shape(
    conn: &mut PgConnection,
    run: i64,
    old: &Dag,
    new: &Dag,
    map: &[Option<i32>],
) -> Result<Shape> {
    let rows = sqlx::query_as::<_, (i32, i32)>(
        "select task, map_index from task_instances where run = $1 order by task, map_index",
    )
    .bind(run)
    .fetch_all(conn)
    .await?;
    let mut shape = Shape::default();
    if rows.is_empty() {
        return Ok(shape);
    }
    let mut kept: HashMap<i32, Vec<i32>> = HashMap::new();
    for (task, map_index) in rows {
        let before = usize::try_from(task).ok().and_then(|at| Some((old.tasks.get(at)?, (*map.get(at)?)?)));
        let stays = before.and_then(|(was, at)| {
            let is = &new.tasks[usize::try_from(at).ok()?];
            let same_item = || {
                let at = usize::try_from(map_index).ok()?;
                Some(was.items()?.get(at)? == is.items()?.get(at)?)
            };
            let unknown = |task: &TaskDef| task.for_each.is_some() && task.items().is_none();
            let both_unknown = unknown(was) && unknown(is);
            let both_plain = was.for_each.is_none() && is.for_each.is_none();
            (both_unknown || both_plain || same_item() == Some(true)).then_some(at)
        });
        match stays {
            Some(at) => kept.entry(at).or_default().push(map_index),
            None => shape.gone.push((task, map_index)),
        }
    }
    for (position, task) in (0..).zip(&new.tasks) {
        let kept = kept.get(&position).map_or(&[][..], Vec::as_slice);
        let wanted = match task.items() {
            _ if kept.is_empty() => task.map_indexes(),
            Some(items) => (0i32..).take(items.len()).collect(),
            None if task.for_each.is_some() => continue,
            None => task.map_indexes(),
        };
        let missing = wanted.into_iter().filter(|map_index| !kept.contains(map_index));
        shape.new.extend(missing.map(|map_index| (position, map_index, task.id.clone())));
    }
    Ok(shape)
}

async fn remove(conn: &mut PgConnection, run: i64, gone: &[(i32, i32)]) -> Result<()> {
    let (tasks, map_indexes): (Vec<i32>, Vec<i32>) = gone.iter().copied().unzip();
    sqlx::query(
        "with g as (select * from unnest($2::int4[], $3::int4[]) as g(task, map_index)),
         asked as (delete from approvals a using g where a.run = $1 and a.task = g.task and a.map_index = g.map_index)
         delete from task_instances i using g where i.run = $1 and i.task = g.task and i.map_index = g.map_index",
    )
    .bind(run)
    .bind(tasks)
    .bind(map_indexes)
    .execute(conn)
    .await?;
    Ok(())
}

/// Tables whose key has the position, and those that only name it.
const KEYED: [(&str, &str); 3] = [
    (
        "update task_instances t set task = m.new + $4 from unnest($2::int4[], $3::int4[]) as m(old, new) where t.run = $1 and t.task = m.old",
        "update task_instances set task = task - $2 where run = $1 and task >= $2",
    ),
    (
        "update approvals t set task = m.new + $4 from unnest($2::int4[], $3::int4[]) as m(old, new) where t.run = $1 and t.task = m.old",
        "update approvals set task = task - $2 where run = $1 and task >= $2",
    ),
    (
        "update deadlines t set task = m.new + $4 from unnest($2::int4[], $3::int4[]) as m(old, new) where t.run = $1 and t.task = m.old",
        "update deadlines set task = task - $2 where run = $1 and task >= $2",
    ),
];
const NAMED: [&str; 5] = [
    "update attempt_history t set task = m.new from unnest($2::int4[], $3::int4[]) as m(old, new) where t.run = $1 and t.task = m.old",
    "update service_status t set task = m.new from unnest($2::int4[], $3::int4[]) as m(old, new) where t.run = $1 and t.task = m.old",
    "update checks t set task = m.new from unnest($2::int4[], $3::int4[]) as m(old, new) where t.run = $1 and t.task = m.old",
    "update asset_events t set task = m.new from unnest($2::int4[], $3::int4[]) as m(old, new) where t.run = $1 and t.task = m.old",
    "update notifications t set task = m.new from unnest($2::int4[], $3::int4[]) as m(old, new) where t.run = $1 and t.task = m.old",
];

/// What is known of a task that is no more is kept under a position that no version has.
async fn renumber(conn: &mut PgConnection, run: i64, map: &[Option<i32>]) -> Result<()> {
    let moved = (0..).zip(map).filter(|(old, new)| **new != Some(*old));
    let (old, new): (Vec<i32>, Vec<Option<i32>>) = moved.map(|(old, new)| (old, *new)).unzip();
    if old.is_empty() {
        return Ok(());
    }
    let stays: (Vec<i32>, Vec<i32>) =
        old.iter().zip(&new).filter_map(|(old, new)| Some((*old, (*new)?))).unzip();
    sqlx::query("delete from deadlines where run = $1 and task = any($2)")
        .bind(run)
        .bind(old.iter().zip(&new).filter(|(_, new)| new.is_none()).map(|(old, _)| *old).collect::<Vec<_>>())
        .execute(&mut *conn)
        .await?;
    for (aside, back) in KEYED {
        sqlx::query(aside).bind(run).bind(&stays.0).bind(&stays.1).bind(ASIDE).execute(&mut *conn).await?;
        sqlx::query(back).bind(run).bind(ASIDE).execute(&mut *conn).await?;
    }
    let named: Vec<i32> = old.iter().zip(&new).map(|(old, new)| new.unwrap_or(-1 - old)).collect();
    for statement in NAMED {
        sqlx::query(statement).bind(run).bind(&old).bind(&named).execute(&mut *conn).await?;
    }
    Ok(())
}

async fn make(conn: &mut PgConnection, run: i64, new: &[(i32, i32, String)]) -> Result<()> {
    sqlx::query(
        "insert into task_instances (run, task, map_index, task_id)
         select $1, * from unnest($2::int4[], $3::int4[], $4::text[]) on conflict do nothing",
    )
    .bind(run)
    .bind(new.iter().map(|(task, ..)| *task).collect::<Vec<_>>())
    .bind(new.iter().map(|(_, map_index, _)| *map_index).collect::<Vec<_>>())
    .bind(new.iter().map(|(.., task_id)| task_id.as_str()).collect::<Vec<_>>())
    .execute(conn)
    .await?;
    Ok(())
}
