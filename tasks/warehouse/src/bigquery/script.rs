//! Several statements as one job: a script whose changes of rows are transactions.
//!
//! BigQuery takes no change of a lasting table's definition into a transaction. Such statements run by themselves, in their place;
//! what lies between two of them is all or nothing.

use gcp_bigquery_client::model::query_parameter::QueryParameter;

use super::options::Options;
use super::spelling::{Spelling, literal};
use super::tokens::{Token, tokens};
use super::values::parameter;
use crate::{Error, Statement, Value, sql};

pub(super) struct Script {
    pub(super) sql: String,
    pub(super) params: Vec<QueryParameter>,
    /// The last statement selects the rows changed by each, as a list.
    pub(super) is_counted: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Changes what a lasting table or view is.
    Definition,
    /// Everything else, with definitions of temporary tables.
    Rows,
}

impl Script {
    /// One statement that must only read.
    pub(super) fn query(options: &Options, statement: &str, values: &[Value]) -> Result<Self, Error> {
        let found = tokens(statement);
        let first = found.iter().find(|token| !token.is_space() && !token.is_sign('('));
        let reads = first.is_some_and(|token| token.is_word("select") || token.is_word("with"));
        let last = found.iter().rposition(|token| !token.is_space() && !token.is_sign(';'));
        let single = !found.iter().take(last.unwrap_or_default()).any(|token| token.is_sign(';'));
        if !reads || !single {
            return Err(Error::Sql {
                statement: sql::first_line(statement),
                message: "a query is read-only: one select, or with .. select".to_owned(),
                retryable: false,
            });
        }
        Self::single(options, statement, values)
    }

    fn single(options: &Options, statement: &str, values: &[Value]) -> Result<Self, Error> {
        let mut params = Vec::new();
        let sql = spell(options, statement, values, 0, Some(&mut params))?;
        Ok(Self { sql, params, is_counted: false })
    }

    pub(super) fn of(options: &Options, statements: &[Statement]) -> Result<Self, Error> {
        if let [one] = statements {
            return Self::single(options, &one.sql, &one.params);
        }
        let is_counted = !options.is_emulator;
        let (mut lines, mut params) = (Vec::new(), Vec::new());
        let mut is_open = false;
        let many = |from: usize| {
            let rows = statements[from..].iter().take_while(|one| kind(&one.sql) == Kind::Rows);
            rows.count() > 1
        };
        for (number, one) in statements.iter().enumerate() {
            let kind = kind(&one.sql);
            // The emulator fails on it, and forgets temporary tables by itself.
            if options.is_emulator && kind == Kind::Rows && is_drop(&one.sql) {
                continue;
            }
            if is_open && kind == Kind::Definition {
                lines.push("commit transaction".to_owned());
                is_open = false;
            } else if !is_open && kind == Kind::Rows && many(number) {
                lines.push("begin transaction".to_owned());
                is_open = true;
            }
            // The emulator takes no values into a script that defines something: there they are written out.
            let bound = if options.is_emulator { None } else { Some(&mut params) };
            lines.push(spell(options, &one.sql, &one.params, number, bound)?);
            if is_counted && kind == Kind::Rows {
                lines.push(format!("set changed_{number} = @@row_count"));
            }
        }
        if is_open {
            lines.push("commit transaction".to_owned());
        }
        if is_counted {
            let names: Vec<String> =
                (0..statements.len()).map(|number| format!("changed_{number}")).collect();
            lines.insert(0, format!("declare {} int64 default 0", names.join(", ")));
            let filled: Vec<String> = names.iter().map(|name| format!("ifnull({name}, 0)")).collect();
            lines.push(format!("select [{}] as changed", filled.join(", ")));
        }
        Ok(Self { sql: format!("{};", lines.join(";\n")), params, is_counted })
    }
}

fn spell(
    options: &Options,
    statement: &str,
    values: &[Value],
    number: usize,
    params: Option<&mut Vec<QueryParameter>>,
) -> Result<String, Error> {
    let name = |index: usize| format!("p{number}_{index}");
    let value = |index: usize| match index.checked_sub(1).and_then(|at| values.get(at)) {
        Some(Value::Null) => "null".to_owned(),
        Some(value) if params.is_none() => written(value),
        _ => format!("@{}", name(index)),
    };
    let dataset = |schema: &str| options.renamed(schema);
    let spelt = Spelling { dataset: &dataset, value: &value }.of(statement);
    let spelt = spelt.map_err(|message| Error::Sql {
        statement: sql::first_line(statement),
        message,
        retryable: false,
    })?;
    let bound = values.iter().enumerate().filter_map(|(at, value)| parameter(name(at + 1), value));
    if let Some(params) = params {
        params.extend(bound);
    }
    Ok(spelt)
}

fn written(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Int(number) => number.to_string(),
        Value::Float(number) => format!("cast({} as float64)", literal(&number.to_string())),
        Value::Text(text) => literal(text),
        Value::Time(time) => format!("timestamp '{}'", time.format("%Y-%m-%d %H:%M:%S%.6f+00:00")),
    }
}

fn is_drop(statement: &str) -> bool {
    tokens(statement).iter().find(|token| !token.is_space()).is_some_and(|token| token.is_word("drop"))
}

fn kind(statement: &str) -> Kind {
    let found = tokens(statement);
    let words: Vec<&Token> = found.iter().filter(|token| !token.is_space()).collect();
    let is = |at: usize, word: &str| words.get(at).is_some_and(|token| token.is_word(word));
    let temporary = |at: usize| is(at, "temp") || is(at, "temporary");
    if is(0, "alter")
        || is(0, "create") && !temporary(1) && !(is(1, "or") && is(2, "replace") && temporary(3))
    {
        return Kind::Definition;
    }
    if is(0, "drop") {
        // A temporary table has no schema.
        let name = if is(2, "if") { 4 } else { 2 };
        return if words.get(name + 1).is_some_and(|token| token.is_sign('.')) {
            Kind::Definition
        } else {
            Kind::Rows
        };
    }
    Kind::Rows
}

#[cfg(test)]
mod tests {
    use super::Script;
    use crate::bigquery::options::Options;
    use crate::{Statement, Value};

    fn options(rest: &str) -> Options {
        Options::parse("bigquery:", rest).unwrap()
    }

    #[test]
    fn definitions_run_by_themselves_and_rows_between_them_are_one_transaction() {
        let statements = [
            Statement::new("delete from prod.a where true"),
            Statement::new("create or replace table prod.a as select 1 as n limit 0"),
            Statement::new("create or replace temp table \"new\" as select 1 as n"),
            Statement::with(
                "insert into prod.a select n + $1 from \"new\" where $2",
                [Value::Int(1), Value::Null],
            ),
            Statement::new("drop table \"new\""),
        ];
        let script = Script::of(&options("p/h"), &statements).unwrap();
        let expected = "declare changed_0, changed_1, changed_2, changed_3, changed_4 int64 default 0;\n\
            delete from `h_prod`.a where true;\nset changed_0 = @@row_count;\n\
            create or replace table `h_prod`.a as select 1 as n limit 0;\n\
            begin transaction;\n\
            create or replace temp table `new` as select 1 as n;\nset changed_2 = @@row_count;\n\
            insert into `h_prod`.a select n + @p3_1 from `new` where null;\nset changed_3 = @@row_count;\n\
            drop table `new`;\nset changed_4 = @@row_count;\n\
            commit transaction;\n\
            select [ifnull(changed_0, 0), ifnull(changed_1, 0), ifnull(changed_2, 0), ifnull(changed_3, 0), ifnull(changed_4, 0)] as changed;";
        assert_eq!(script.sql, expected);
        assert_eq!(script.params.len(), 1);
        assert_eq!(script.params[0].name.as_deref(), Some("p3_1"));
    }

    #[test]
    fn one_statement_needs_no_script() {
        let script = Script::of(&options("p"), &[Statement::new("insert into t values (1);")]).unwrap();
        assert_eq!((script.sql.as_str(), script.is_counted), ("insert into t values (1)", false));
    }

    #[test]
    fn a_query_only_reads() {
        for sql in
            ["delete from t where true", "select 1; delete from t where true", "create table t (a int64)"]
        {
            assert!(Script::query(&options("p"), sql, &[]).is_err(), "{sql}");
        }
        for sql in
            ["-- why\nselect 1;", "with a as (select 1) select * from a", "(select 1) union all (select 2)"]
        {
            assert!(Script::query(&options("p"), sql, &[]).is_ok(), "{sql}");
        }
    }
}
