//! What the tasks before one gave, for its templates.

use crate::Result;
use crate::rows::parse_json;
use model::Dag;
use model::dag::TaskDef;
use serde_json::{Map, Value};
use sqlx::PgConnection;

/// Whether a template of the task may name what others gave: most name nothing, and then nothing is read.
pub(crate) fn names_outputs(task: &TaskDef) -> bool {
    let text = |value: &Value| has_name(&value.to_string());
    text(&task.with)
        || task.env.values().any(|text| has_name(text))
        || task.condition.is_some()
        || task
            .service
            .as_ref()
            .is_some_and(|service| serde_json::to_value(service).is_ok_and(|value| text(&value)))
}

fn has_name(text: &str) -> bool {
    text.contains("tasks") && (text.contains("{{") || text.contains("{%"))
}

/// By task id, all tasks before this one; a mapped task's is an array with null for those that gave nothing.
pub(crate) async fn upstream(
    conn: &mut PgConnection,
    run: i64,
    dag: &Dag,
    task: usize,
) -> Result<Map<String, Value>> {
    let before = ancestors(dag, task);
    if before.is_empty() {
        return Ok(Map::new());
    }
    let nothing = before.iter().filter_map(|task| dag.tasks.get(usize::try_from(*task).ok()?));
    let mut found: Map<String, Value> = nothing.map(|def| (def.id.clone(), def.nothing_given())).collect();
    let rows = sqlx::query_as::<_, (i32, i32, String, Option<i32>)>(
        "select i.task, i.map_index, i.outputs::text, case when i.map_index >= 0 then
            (select max(m.map_index) from task_instances m where m.run = i.run and m.task = i.task) end
         from task_instances i
         where i.run = $1 and i.task = any($2) and i.outputs is not null
         order by i.task, i.map_index",
    )
    .bind(run)
    .bind(&before)
    .fetch_all(conn)
    .await?;
    for (from, map_index, text, last) in rows {
        let value: Value = parse_json("task_instances", "outputs", format!("run {run} task {from}"), &text)?;
        let Some(def) = usize::try_from(from).ok().and_then(|from| dag.tasks.get(from)) else { continue };
        match (last.map(|last| last.unsigned_abs() as usize + 1), usize::try_from(map_index)) {
            (Some(count), Ok(index)) => {
                let list = found.entry(def.id.clone()).or_insert(Value::Null);
                if list.as_array().is_none_or(|list| list.len() < count) {
                    *list = Value::Array(vec![Value::Null; count]);
                }
                if let Some(place) = list.get_mut(index) {
                    *place = value;
                }
            }
            _ => {
                found.insert(def.id.clone(), value);
            }
        }
    }
    Ok(found)
}

fn ancestors(dag: &Dag, task: usize) -> Vec<i32> {
    let mut is_ancestor = vec![false; dag.tasks.len()];
    let mut open = dag.tasks.get(task).map(|def| def.needs.clone()).unwrap_or_default();
    while let Some(need) = open.pop() {
        if !is_ancestor[need] {
            is_ancestor[need] = true;
            open.extend(&dag.tasks[need].needs);
        }
    }
    (0i32..).zip(is_ancestor).filter_map(|(task, is)| is.then_some(task)).collect()
}
