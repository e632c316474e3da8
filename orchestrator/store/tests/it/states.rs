//! SQL and `model::state` agree about which state may follow which.

use crate::support::{dag, task, world};
use model::{RunState, TaskState};

#[tokio::test]
async fn sql_functions_agree_with_the_model_for_every_pair() {
    let world = world().await;
    for from in RunState::ALL {
        for to in RunState::ALL {
            let may = sqlx::query_scalar::<_, bool>("select run_may_become($1, $2)")
                .bind(from.as_str())
                .bind(to.as_str())
                .fetch_one(&world.pool)
                .await
                .unwrap();
            assert_eq!(may, from.may_become(to), "run {from} -> {to}");
        }
    }
    for from in TaskState::ALL {
        for to in TaskState::ALL {
            let may = sqlx::query_scalar::<_, bool>("select task_may_become($1, $2)")
                .bind(from.as_str())
                .bind(to.as_str())
                .fetch_one(&world.pool)
                .await
                .unwrap();
            assert_eq!(may, from.may_become(to), "task {from} -> {to}");
        }
    }
}

#[tokio::test]
async fn no_update_of_a_task_instance_can_break_the_table_of_transitions() {
    let world = world().await;
    let run = world.trigger(&dag("d", vec![task("a", &[])]), "r").await;
    for from in TaskState::ALL {
        for to in TaskState::ALL.into_iter().filter(|to| *to != from) {
            let mut tx = world.pool.begin().await.unwrap();
            sqlx::query(
                "insert into task_instances (run, task, map_index, task_id, state, started_at, next_at, ended_at)
                 values ($1, 0, -1, 'a', $2, now(), case when $2 like 'up\\_for%' then now() end,
                    case when $3 then now() end)",
            )
            .bind(run)
            .bind(from.as_str())
            .bind(from.is_final())
            .execute(&mut *tx)
            .await
            .unwrap();
            let moved = sqlx::query(
                "update task_instances set state = $1, next_at = case when $1 like 'up\\_for%' then now() end,
                    ended_at = case when $2 then now() end",
            )
            .bind(to.as_str())
            .bind(to.is_final())
            .execute(&mut *tx)
            .await;
            // Queueing and claiming in one commit is written as one update.
            let shortcut = to == TaskState::Running && from.may_become(TaskState::Queued);
            assert_eq!(moved.is_ok(), from.may_become(to) || shortcut, "{from} -> {to}: {moved:?}");
        }
    }
}

#[tokio::test]
async fn no_update_of_a_run_can_break_the_table_of_transitions() {
    let world = world().await;
    let run = world.trigger(&dag("d", vec![task("a", &[])]), "r").await;
    let paths: [(RunState, &[RunState]); 5] = [
        (RunState::Queued, &[]),
        (RunState::Running, &[RunState::Running]),
        (RunState::Success, &[RunState::Running, RunState::Success]),
        (RunState::Failed, &[RunState::Running, RunState::Failed]),
        (RunState::Cancelled, &[RunState::Cancelled]),
    ];
    for (from, path) in paths {
        for to in RunState::ALL.into_iter().filter(|to| *to != from) {
            let mut tx = world.pool.begin().await.unwrap();
            let mut moved = Ok(());
            for state in path.iter().chain([&to]) {
                moved = sqlx::query(
                    "update runs set state = $2, started_at = case when $2 <> 'queued' then now() end,
                        ended_at = case when $3 then now() end where id = $1",
                )
                .bind(run)
                .bind(state.as_str())
                .bind(state.is_final())
                .execute(&mut *tx)
                .await
                .map(|_| ());
            }
            assert_eq!(moved.is_ok(), from.may_become(to), "{from} -> {to}: {moved:?}");
        }
    }
}

#[tokio::test]
async fn every_table_and_column_is_explained() {
    let world = world().await;
    let silent: Vec<String> = sqlx::query_scalar(
        "select c.relname || coalesce('.' || a.attname, '')
         from pg_class c left join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
         where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
            and c.relname <> '_sqlx_migrations'
            and (obj_description(c.oid, 'pg_class') is null or col_description(c.oid, a.attnum) is null)",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    assert_eq!(silent, Vec::<String>::new());
}
