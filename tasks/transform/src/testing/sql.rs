//! The SQL of generic tests, as Jinja text: failing rows, and for some a measure.

use serde_json::Value;
use warehouse::{quote_identifier, quote_text};

use super::{Check, GenericTest, Plan};
use crate::RunArgs;
use crate::jinja::{Scope, time_literal};
use crate::project::Project;

pub(super) fn draft(test: &GenericTest, project: &Project, scope: &Scope, args: &RunArgs) -> Plan {
    let from = match &test.config.filter {
        Some(filter) => format!("(select * from {{{{ {} }}}} where {filter}) as subject", test.subject),
        None => format!("{{{{ {} }}}} as subject", test.subject),
    };
    match &test.check {
        Check::Unique { columns } => unique(&from, columns),
        Check::NotNull { column, at_least } => not_null(&from, column, *at_least),
        Check::AcceptedValues { column, values } => accepted_values(&from, column, values),
        Check::Relationships { column, to, field, at_least } => {
            relationships(&from, column, to, field, *at_least)
        }
        Check::AcceptedRange { column, min, max } => {
            let column = quote_identifier(column);
            let below = min.map(|min| format!("{column} < {min}"));
            let above = max.map(|max| format!("{column} > {max}"));
            let outside: Vec<String> = [below, above].into_iter().flatten().collect();
            let outside = if outside.is_empty() { "false".to_owned() } else { outside.join(" or ") };
            Plan::rows(format!("select * from {from} where {outside}"))
        }
        Check::Expression { expression } => {
            Plan::rows(format!("select * from {from} where not ({expression})"))
        }
        Check::RowCount { min, max } => {
            let count = format!("select count(*) as row_count from {from}");
            Plan { failing: count.clone(), measure: Some(count), low: *min, high: *max }
        }
        Check::EqualRowcount { compare } => {
            let counts = format!(
                "select (select count(*) from {from}) as row_count, (select count(*) from {{{{ {compare} }}}} as other) as expected"
            );
            let measure = format!("select row_count - expected from ({counts}) as counts");
            Plan { failing: counts, measure: Some(measure), low: Some(0.0), high: Some(0.0) }
        }
        Check::NoMissingHours => missing_hours(test, project, scope),
        Check::Recency { column, hours } => recency(&from, column, *hours, args),
        Check::ExclusiveRanges { lower, upper, partition_by, gaps } => {
            exclusive_ranges(&from, lower, upper, partition_by.as_deref(), *gaps)
        }
    }
}

fn unique(from: &str, columns: &[String]) -> Plan {
    let columns: Vec<String> = columns.iter().map(|column| quote_identifier(column)).collect();
    let filled: Vec<String> = columns.iter().map(|column| format!("{column} is not null")).collect();
    let (list, filled) = (columns.join(", "), filled.join(" and "));
    Plan::rows(format!(
        "select {list}, count(*) as times from {from} where {filled} group by {list} having count(*) > 1"
    ))
}

fn not_null(from: &str, column: &str, at_least: Option<f64>) -> Plan {
    let column = quote_identifier(column);
    let failing = format!("select * from {from} where {column} is null");
    let measure = at_least
        .map(|_| format!("select coalesce(count({column}) * 1.0 / nullif(count(*), 0), 1) from {from}"));
    Plan { failing, measure, low: at_least, high: None }
}

fn accepted_values(from: &str, column: &str, values: &[Value]) -> Plan {
    let column = quote_identifier(column);
    let values: Vec<String> = values
        .iter()
        .map(|value| match value {
            Value::String(text) => quote_text(text),
            other => other.to_string(),
        })
        .collect();
    let outside = format!("{column} is not null and {column} not in ({})", values.join(", "));
    Plan::rows(format!("select {column}, count(*) as times from {from} where {outside} group by {column}"))
}

fn relationships(from: &str, column: &str, to: &str, field: &str, at_least: Option<f64>) -> Plan {
    let (column, field) = (quote_identifier(column), quote_identifier(field));
    let keys = format!(
        "(select {column} as value, count(*) as times from {from} where {column} is not null group by {column}) as keys"
    );
    let parents = format!("(select {field} as value from {{{{ {to} }}}} as parent) as parents");
    let orphans = format!(
        "select keys.value, keys.times from {keys} where not exists (select 1 from {parents} where parents.value = keys.value)"
    );
    let measure = at_least.map(|_| {
        format!(
            "select coalesce(1 - (select sum(times) from ({orphans}) as orphans) * 1.0 / nullif((select sum(times) from {keys}), 0), 1)"
        )
    });
    Plan { failing: format!("{orphans} order by times desc, value"), measure, low: at_least, high: None }
}

/// Judged by the bookkeeping: an hour that was loaded or built is there even if nothing happened in it.
fn missing_hours(test: &GenericTest, project: &Project, scope: &Scope) -> Plan {
    let present = match &test.model {
        Some(model) => {
            let intervals = format!("{}.\"_intervals\"", quote_identifier(&project.schema));
            format!(
                "select hour from {intervals} where model = {} and hour > timestamp '1970-01-01'",
                quote_text(model)
            )
        }
        None => {
            let (source, table) = test.label.split_once('.').unwrap_or(("", &test.label));
            let schema = project
                .sources
                .get(&(source.to_owned(), table.to_owned()))
                .map_or(source, |target| &target.schema);
            format!(
                "select hour from {}.\"_loads\" where topic = {}",
                quote_identifier(schema),
                quote_text(table)
            )
        }
    };
    let expected = match scope.hours.as_deref() {
        Some(hours) if !hours.is_empty() => {
            let values: Vec<String> =
                hours.iter().map(|hour| format!("select {} as hour", time_literal(*hour))).collect();
            format!("({}) as expected", values.join(" union all "))
        }
        _ => "{{ dbt.hour_spine('(select min(hour) from present)', '(select max(hour) from present)') }} as expected".to_owned(),
    };
    Plan::rows(format!(
        "with present as ({present}) select expected.hour from {expected} \
         where expected.hour not in (select hour from present) order by expected.hour"
    ))
}

/// How many hours the newest row lies before the end of the window (or now).
fn recency(from: &str, column: &str, hours: f64, args: &RunArgs) -> Plan {
    let column = quote_identifier(column);
    let now = args
        .window
        .map_or("dbt.current_timestamp()".to_owned(), |(_, end)| format!("\"{}\"", time_literal(end)));
    let newest = format!("select max({column}) as newest from {from}");
    let age =
        format!("coalesce(greatest({{{{ dbt.datediff('newest', {now}, 'second') }}}}, 0) / 3600.0, 1e9)");
    let failing = format!("select newest, {age} as hours from ({newest}) as newest_row");
    let measure = format!("select {age} from ({newest}) as newest_row");
    Plan { failing, measure: Some(measure), low: None, high: Some(hours) }
}

fn exclusive_ranges(from: &str, lower: &str, upper: &str, partition_by: Option<&str>, gaps: bool) -> Plan {
    let (lower, upper) = (quote_identifier(lower), quote_identifier(upper));
    let partition =
        partition_by.map_or(String::new(), |column| format!("partition by {} ", quote_identifier(column)));
    let ranges = format!(
        "select *, lead({lower}) over ({partition}order by {lower}, {upper}) as next_lower from {from}"
    );
    let touch = if gaps { format!("{upper} > next_lower") } else { format!("{upper} <> next_lower") };
    Plan::rows(format!("select * from ({ranges}) as ranges where {lower} >= {upper} or {touch}"))
}
