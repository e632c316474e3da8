//! The engine on small projects of its own: problems, selection, materialisations, tests.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{CheckResult, CheckStatus};
use serde_json::{Value as Json, json};
use tempfile::TempDir;
use transform::{Error, NodeResult, Project, RunArgs};
use warehouse::{Statement, Warehouse};

const PROJECT: (&str, &str) = ("dbt_project.yml", "name: small\nvars: { limit: 3 }\n");

fn folder(files: &[(&str, &str)]) -> TempDir {
    let dir = TempDir::new().unwrap();
    for (path, text) in [PROJECT].iter().chain(files) {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    dir
}

fn project(files: &[(&str, &str)]) -> Project {
    Project::load(folder(files).path(), "prod").unwrap_or_else(|problems| panic!("{problems:#?}"))
}

fn problems(files: &[(&str, &str)]) -> Vec<String> {
    let found = Project::load(folder(files).path(), "prod").err().expect("the project has problems");
    found.iter().map(ToString::to_string).collect()
}

fn memory() -> Arc<dyn Warehouse> {
    warehouse::open("duckdb::memory:").unwrap()
}

async fn try_run(project: &Project, id: &str, warehouse: &Arc<dyn Warehouse>) -> Result<NodeResult, Error> {
    project.run(id, &RunArgs::default(), &**warehouse, &mut |_| ()).await
}

async fn run(project: &Project, id: &str, warehouse: &Arc<dyn Warehouse>) -> NodeResult {
    try_run(project, id, warehouse).await.unwrap_or_else(|error| panic!("{id}: {error}"))
}

async fn rows(warehouse: &Arc<dyn Warehouse>, sql: &str) -> Json {
    json!(warehouse.query(sql, &[]).await.unwrap().rows)
}

async fn execute(warehouse: &Arc<dyn Warehouse>, sql: &str) {
    warehouse.transaction(&[Statement::new(sql)]).await.unwrap();
}

#[test]
fn all_problems_are_told_at_once_with_file_line_and_hint() {
    let found = problems(&[
        ("models/a.sql", "select 1\nfrom {{ ref('bb') }}\n"),
        ("models/b.sql", "select {{ 1 + }}\n"),
        ("models/c.sql", "{{ config(materialised='table') }}\nselect 1 from {{ source('raw', 'event') }}\n"),
        ("models/deep/d.sql", "select '{{ var('nothing') }}'\n"),
        ("models/e.sql", "select 1 as id\n"),
        ("models/deep/e.sql", "select 1 as id\n"),
        (
            "models/x.yml",
            "models:\n  - name: ee\n  - name: e\n    test: []\n    columns:\n      - name: id\n        tests: [uniqe, {accepted_values: {}}]\n",
        ),
        ("models/s.yml", "sources:\n  - name: raw\n    tables: [{ name: events }]\n"),
        ("seeds/f.csv", "a,b\n1\n"),
    ]);
    let expected = [
        ("models/a.sql:2", "no model or seed `bb`", "did you mean"),
        ("seeds/f.csv:2", "1 fields", ""),
        ("models/b.sql:1", "syntax error", ""),
        ("models/c.sql:1", "unknown config `materialised`", "did you mean `materialized`?"),
        ("models/c.sql:2", "no source `raw.event`", "did you mean `raw.events`?"),
        ("models/deep/d.sql:1", "no var `nothing`", ""),
        ("models/e.sql", "also the name of models/deep/e.sql", ""),
        ("models/x.yml:2", "describes `ee`", "did you mean"),
        ("models/x.yml:4", "unknown key `test`", "did you mean `tests`?"),
        ("models/x.yml:7", "unknown test `uniqe`", "did you mean `unique`?"),
        ("models/x.yml:7", "needs `values`", ""),
    ];
    for (place, what, hint) in expected {
        let told = found
            .iter()
            .any(|problem| problem.starts_with(place) && problem.contains(what) && problem.contains(hint));
        assert!(told, "{place} {what} {hint}\n{found:#?}");
    }
}

#[test]
fn a_circle_is_named() {
    let found = problems(&[
        ("models/a.sql", "select * from {{ ref('b') }}"),
        ("models/b.sql", "select * from {{ ref('a') }}"),
    ]);
    assert!(found.len() == 1 && found[0].contains("in a circle: a, b"), "{found:#?}");
}

fn chain() -> Project {
    project(&[
        ("seeds/s.csv", "id\n1\n"),
        ("models/in/a.sql", "{{ config(tags=['daily']) }} select * from {{ ref('s') }}"),
        ("models/in/b.sql", "select * from {{ ref('a') }}"),
        ("models/out/c.sql", "{{ config(tags='daily') }} select * from {{ ref('b') }}"),
        ("models/m.yml", "models:\n  - name: b\n    columns: [{ name: id, tests: [unique] }]\n"),
    ])
}

#[test]
fn selectors_choose_as_in_dbt() {
    let project = chain();
    for (selector, expected) in [
        ("b", "b unique_b_id"),
        ("+b", "s a b unique_b_id"),
        ("b+", "b c unique_b_id"),
        ("tag:daily", "a c"),
        ("path:models/in", "a b unique_b_id"),
        ("tag:daily,path:models/out", "c"),
        ("s c", "s c"),
    ] {
        let mut chosen: Vec<_> =
            project.select(selector).unwrap().iter().map(|node| node.id.as_str()).collect();
        let mut expected: Vec<_> = expected.split(' ').collect();
        chosen.sort_unstable();
        expected.sort_unstable();
        assert_eq!(chosen, expected, "{selector}");
    }
    assert!(project.select("aa").unwrap_err().to_string().contains("did you mean `a`?"));
}

#[test]
fn the_digest_follows_every_file() {
    let one = |text| project(&[("models/a.sql", text)]).digest().to_owned();
    assert_eq!(one("select 1"), one("select 1"));
    assert_ne!(one("select 1"), one("select 2"));
}

#[tokio::test]
async fn views_tables_and_seeds_are_built_and_may_change_kind() {
    let warehouse = memory();
    let files = |kind: &str| {
        format!(
            "{{{{ config(materialized='{kind}') }}}} select id * {{{{ var('limit') }}}} as id from {{{{ ref('s') }}}}"
        )
    };
    for kind in ["view", "table", "view"] {
        let project =
            project(&[("seeds/s.csv", "\u{feff}id,code\n1, x \n2,\n"), ("models/a.sql", &files(kind))]);
        for id in ["s", "a"] {
            run(&project, id, &warehouse).await;
        }
        assert_eq!(rows(&warehouse, "select id from prod.a order by 1").await, json!([[3], [6]]));
    }
    assert_eq!(rows(&warehouse, "select code from prod.s order by id").await, json!([["x"], [null]]));
}

#[tokio::test]
async fn merge_leaves_equal_rows_alone_and_delete_insert_replaces_them() {
    for (strategy, touched) in [("merge", 3), ("delete+insert", 5)] {
        let warehouse = memory();
        execute(
            &warehouse,
            "create schema raw; create table raw.t as select * from (values (1, 'a'), (2, 'b')) v(id, name)",
        )
        .await;
        let model = format!(
            "{{{{ config(materialized='incremental', incremental_strategy='{strategy}', unique_key='id') }}}} select * from {{{{ source('raw', 't') }}}}"
        );
        let project = project(&[
            ("models/m.sql", &model),
            ("models/s.yml", "sources: [{ name: raw, tables: [{ name: t }] }]"),
        ]);
        assert_eq!(run(&project, "m", &warehouse).await.rows_affected, 2);
        execute(&warehouse, "update raw.t set name = 'c' where id = 2; insert into raw.t values (3, 'd')")
            .await;
        assert_eq!(run(&project, "m", &warehouse).await.rows_affected, touched, "{strategy}");
        assert_eq!(
            rows(&warehouse, "select * from prod.m order by 1").await,
            json!([[1, "a"], [2, "c"], [3, "d"]])
        );
    }
}

#[tokio::test]
async fn a_new_column_is_refused_or_added_as_configured() {
    for (policy, outcome) in [("fail", Err("new: [extra]")), ("append_new_columns", Ok(2)), ("ignore", Ok(1))]
    {
        let warehouse = memory();
        let model = |columns: &str| {
            format!(
                "{{{{ config(materialized='incremental', unique_key='id', on_schema_change='{policy}') }}}} select {columns}"
            )
        };
        run(&project(&[("models/m.sql", &model("1 as id"))]), "m", &warehouse).await;
        let result =
            try_run(&project(&[("models/m.sql", &model("1 as id, 2 as extra"))]), "m", &warehouse).await;
        match outcome {
            Err(said) => assert!(result.unwrap_err().to_string().contains(said)),
            Ok(columns) => {
                assert_eq!(warehouse.relation("prod", "m").await.unwrap().unwrap().columns.len(), columns)
            }
        }
    }
}

#[tokio::test]
async fn vars_of_a_run_win_and_macros_reach_models() {
    let project = project(&[
        ("macros/m.sql", "{% macro twice(x) %}({{ x }} * 2){% endmacro %}"),
        (
            "models/a.sql",
            "select {{ twice(var('limit')) }} as n, {{ dbt_utils.generate_surrogate_key(['1', 'null']) }} as k",
        ),
    ]);
    let vars = BTreeMap::from([("limit".to_owned(), json!(21))]);
    let sql = project.compile("a", &RunArgs { vars, ..RunArgs::default() }).unwrap();
    assert_eq!(rows(&memory(), &format!("select n from ({sql})")).await, json!([[42]]));
    assert!(sql.contains("_dbt_utils_surrogate_key_null_"), "{sql}");
}

const DATA: &str = "id,grp,lo,hi,x\n1,a,1,2,5\n2,a,2,4,\n3,b,1,3,50\n3,b,2,4,7\n";

async fn check(test: &str) -> CheckResult {
    let yaml = format!("seeds:\n  - name: d\n    tests:\n      - {test}\n");
    let project = project(&[("seeds/d.csv", DATA), ("seeds/p.csv", "grp\na\n"), ("seeds/d.yml", &yaml)]);
    let warehouse = memory();
    run(&project, "d", &warehouse).await;
    run(&project, "p", &warehouse).await;
    let id = project.nodes().iter().find(|node| node.severity.is_some()).unwrap().id.clone();
    run(&project, &id, &warehouse).await.check.unwrap()
}

#[tokio::test]
async fn each_generic_test_passes_and_fails_as_it_should() {
    use CheckStatus::{Fail, Pass, Warn};
    for (test, status, value) in [
        ("unique: { column_name: id }", Fail, 1.0),
        ("unique: { column_name: id, config: { severity: warn } }", Warn, 1.0),
        ("unique: { column_name: id, where: grp = 'a' }", Pass, 0.0),
        ("unique: { column_name: id, error_if: \">5\" }", Pass, 1.0),
        ("unique: { column_name: id, error_if: \">5\", warn_if: \">0\" }", Warn, 1.0),
        ("dbt_utils.unique_combination_of_columns: { combination_of_columns: [id, lo] }", Pass, 0.0),
        ("not_null: { column_name: x }", Fail, 1.0),
        ("not_null_proportion: { column_name: x, at_least: 0.7 }", Pass, 0.75),
        ("not_null_proportion: { column_name: x, at_least: 0.8 }", Fail, 0.75),
        ("accepted_values: { column_name: grp, arguments: { values: [a, b] } }", Pass, 0.0),
        ("accepted_values: { column_name: id, values: [1, 2] }", Fail, 1.0),
        ("relationships: { column_name: grp, to: ref('p'), field: grp }", Fail, 1.0),
        ("relationships: { column_name: grp, to: ref('p'), field: grp, at_least: 0.5 }", Pass, 0.5),
        ("accepted_range: { column_name: x, min_value: 5, max_value: 10 }", Fail, 1.0),
        ("expression_is_true: { expression: lo < hi }", Pass, 0.0),
        ("row_count: { min_value: 1, max_value: 4 }", Pass, 4.0),
        ("row_count: { min_value: 5 }", Fail, 4.0),
        ("equal_rowcount: { compare_model: ref('p') }", Fail, 3.0),
        (
            "mutually_exclusive_ranges: { lower_bound_column: lo, upper_bound_column: hi, partition_by: grp }",
            Fail,
            1.0,
        ),
        (
            "mutually_exclusive_ranges: { lower_bound_column: lo, upper_bound_column: hi, partition_by: grp, gaps: not_allowed, where: grp = 'a' }",
            Pass,
            0.0,
        ),
    ] {
        let result = check(test).await;
        assert_eq!((result.status, result.value), (status, value), "{test}\n{result:#?}");
        assert_eq!(result.sample.is_empty(), status == Pass, "{test}");
    }
}

#[tokio::test]
async fn recency_measures_from_the_end_of_the_window() {
    use chrono::{TimeZone, Utc};
    let project = project(&[
        ("models/m.sql", "select timestamp '2026-01-01 10:30:00' as at"),
        (
            "models/m.yml",
            "models: [{ name: m, tests: [{ recency: { name: fresh, field: at, interval: 2 } }] }]",
        ),
    ]);
    let warehouse = memory();
    run(&project, "m", &warehouse).await;
    for (hour, status) in [(12, CheckStatus::Pass), (13, CheckStatus::Fail)] {
        let at = |hour| Utc.with_ymd_and_hms(2026, 1, 1, hour, 0, 0).unwrap();
        let args = RunArgs { window: Some((at(hour - 1), at(hour))), ..RunArgs::default() };
        let check = project.run("fresh", &args, &*warehouse, &mut |_| ()).await.unwrap().check.unwrap();
        assert_eq!((check.status, check.value), (status, f64::from(hour) - 10.5), "{check:#?}");
    }
}

#[tokio::test]
async fn errors_name_the_file_and_the_node() {
    let project = project(&[("models/a.sql", "select * from nowhere")]);
    let error = try_run(&project, "a", &memory()).await.unwrap_err();
    assert!(error.to_string().starts_with("models/a.sql: ") && !error.is_retryable(), "{error}");
    assert!(try_run(&project, "aa", &memory()).await.unwrap_err().to_string().contains("did you mean `a`?"));
}
