//! What the BigQuery emulator gets wrong, and how its mistakes are walked around without saying anything else.
//!
//! * A subquery in the `where` of a `delete` is documented to work (Data manipulation language: `DELETE .. WHERE` takes any condition).
//!   The emulator writes the columns of joins in there without the tables that they are of, and SQLite beneath it finds them ambiguous.
//! * A temporary table made in a transaction is documented to work (Multi-statement transactions: temporary tables may be created). The
//!   emulator waits for itself when a transaction makes a second one.
//!
//! So both become tables made before the transaction: what they select does not depend on what the transaction has changed so far.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use warehouse::{Error, Statement, Warehouse};

/// Where the tables that stand for temporary ones and subqueries lie. They stay: dropping a table is what the emulator is slowest at.
const SCHEMA: &str = "scratch";

static NEXT: AtomicUsize = AtomicUsize::new(0);

/// Runs what the statements say, and returns the rows that each changed (the emulator counts none).
pub async fn transaction(inner: &Arc<dyn Warehouse>, statements: &[Statement]) -> Result<Vec<u64>, Error> {
    let mut plan = Plan::default();
    statements.iter().for_each(|one| plan.add(one));
    if !plan.before.is_empty() {
        inner.transaction(&[Statement::new(format!("create schema if not exists {SCHEMA}"))]).await?;
    }
    for table in &plan.before {
        inner.transaction(std::slice::from_ref(table)).await?;
    }
    inner.transaction(&plan.statements).await?;
    Ok(vec![0; statements.len()])
}

#[derive(Default)]
struct Plan {
    before: Vec<Statement>,
    statements: Vec<Statement>,
    /// Of temporary tables, as they are called, and as they are called here.
    names: Vec<(String, String)>,
}

impl Plan {
    fn add(&mut self, one: &Statement) {
        let mut sql = one.sql.clone();
        if self.names.iter().any(|(name, _)| sql == format!("drop table {name}")) {
            return;
        }
        let temporary =
            sql.strip_prefix("create or replace temp table ").and_then(|rest| rest.split_once(" as "));
        if let Some((name, query)) = temporary {
            let table = self.before(query);
            self.names.push((name.to_owned(), table));
            return;
        }
        for (name, table) in &self.names {
            sql = sql.replace(name, table);
        }
        if sql.starts_with("delete from") {
            sql = self.lifted(&sql);
        }
        self.statements.push(Statement { sql, ..one.clone() });
    }

    /// A table with what the query selects, and its name.
    fn before(&mut self, query: &str) -> String {
        let table = format!("{SCHEMA}.made_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        self.before.push(Statement::new(format!("create table {table} as {query}")));
        table
    }

    /// The statement with each outermost `in (select ..)` read from a table.
    fn lifted(&mut self, sql: &str) -> String {
        let (mut text, mut rest) = (String::new(), sql);
        while let Some((open, close)) = next_subquery(rest) {
            let table = self.before(&rest[open + 1..close]);
            text.push_str(&format!("{}(select * from {table})", &rest[..open]));
            rest = &rest[close + 1..];
        }
        text + rest
    }
}

/// Where the parentheses of the first `in (select ..)` open and close.
fn next_subquery(sql: &str) -> Option<(usize, usize)> {
    let mut found = sql.match_indices(" in (").map(|(at, _)| at + 4);
    let open = found.find(|open| sql[open + 1..].trim_start().starts_with("select"))?;
    let mut depth = 0usize;
    for (at, letter) in sql[open..].char_indices() {
        depth = match letter {
            '(' => depth + 1,
            ')' => depth - 1,
            _ => depth,
        };
        if depth == 0 {
            return Some((open, open + at));
        }
    }
    None
}
