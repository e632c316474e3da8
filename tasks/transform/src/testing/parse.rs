//! Reading generic tests: dbt's names and arguments, those of dbt_utils and dbt_expectations where they are in use.

use serde_json::Value;

use super::{Check, GenericTest, RawTest};
use crate::config::{Config, RawConfig, did_you_mean};

type Refusal = (String, Option<String>);

const TESTS: [&str; 14] = [
    "unique",
    "unique_combination_of_columns",
    "not_null",
    "not_null_proportion",
    "accepted_values",
    "relationships",
    "accepted_range",
    "expression_is_true",
    "row_count",
    "equal_rowcount",
    "no_missing_hours",
    "recency",
    "freshness",
    "mutually_exclusive_ranges",
];

impl GenericTest {
    pub(crate) fn parse(
        raw: &RawTest,
        subject: &str,
        label: &str,
        model: Option<&str>,
    ) -> Result<Self, Refusal> {
        let mut arguments = Arguments::of(raw);
        let kind = raw.name.rsplit('.').next().unwrap_or(&raw.name).to_owned();
        let own_name = arguments.optional_text("name");
        let mut config = RawConfig::new();
        if let Some(Value::Object(map)) = arguments.0.remove("config") {
            config.extend(map);
        }
        for key in ["severity", "where", "error_if", "warn_if", "tags"] {
            if let Some(value) = arguments.0.remove(key) {
                config.insert(key.to_owned(), value);
            }
        }
        arguments.0.remove("description");
        let check = check(&kind, &mut arguments)?;
        if let Some(unknown) = arguments.0.keys().next() {
            return Err((format!("test {kind} has no argument `{unknown}`"), None));
        }
        let suffix = check.columns().join("_");
        let parts = [kind.as_str(), &label.replace('.', "_"), &suffix];
        let name = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("_");
        Ok(Self {
            name: own_name.unwrap_or(name),
            subject: subject.to_owned(),
            label: label.to_owned(),
            model: model.map(str::to_owned),
            path: raw.place.file.clone(),
            check,
            config: Config::parse(&config)?,
        })
    }
}

fn check(kind: &str, arguments: &mut Arguments) -> Result<Check, Refusal> {
    Ok(match kind {
        "unique" => Check::Unique { columns: vec![arguments.column(kind)?] },
        "unique_combination_of_columns" => {
            Check::Unique { columns: arguments.texts(kind, "combination_of_columns")? }
        }
        "not_null" => Check::NotNull { column: arguments.column(kind)?, at_least: None },
        "not_null_proportion" => Check::NotNull {
            column: arguments.column(kind)?,
            at_least: Some(arguments.number("at_least")?.unwrap_or(1.0)),
        },
        "accepted_values" => {
            Check::AcceptedValues { column: arguments.column(kind)?, values: arguments.list(kind, "values")? }
        }
        "relationships" => Check::Relationships {
            column: arguments.column(kind)?,
            to: arguments.text(kind, "to")?,
            field: arguments.text(kind, "field")?,
            at_least: arguments.number("at_least")?,
        },
        "accepted_range" => Check::AcceptedRange {
            column: arguments.column(kind)?,
            min: arguments.number("min_value")?,
            max: arguments.number("max_value")?,
        },
        "expression_is_true" => {
            let expression = arguments.text(kind, "expression")?;
            let column = arguments.optional_text("column_name");
            Check::Expression {
                expression: column.map_or(expression.clone(), |column| format!("\"{column}\" {expression}")),
            }
        }
        "row_count" | "expect_table_row_count_to_be_between" => {
            Check::RowCount { min: arguments.number("min_value")?, max: arguments.number("max_value")? }
        }
        "equal_rowcount" => Check::EqualRowcount { compare: arguments.text(kind, "compare_model")? },
        "no_missing_hours" => Check::NoMissingHours,
        "recency" | "freshness" => {
            Check::Recency { column: arguments.text(kind, "field")?, hours: hours(arguments)? }
        }
        "mutually_exclusive_ranges" => Check::ExclusiveRanges {
            lower: arguments.text(kind, "lower_bound_column")?,
            upper: arguments.text(kind, "upper_bound_column")?,
            partition_by: arguments.optional_text("partition_by"),
            gaps: arguments.optional_text("gaps").as_deref() != Some("not_allowed"),
        },
        _ => {
            return Err((
                format!("unknown test `{kind}`"),
                did_you_mean(kind, TESTS).or_else(|| Some(format!("one of {}", TESTS.join(", ")))),
            ));
        }
    })
}

fn hours(arguments: &mut Arguments) -> Result<f64, Refusal> {
    let interval = arguments.number("interval")?.unwrap_or(1.0);
    match arguments.optional_text("datepart").as_deref() {
        None | Some("hour") => Ok(interval),
        Some("minute") => Ok(interval / 60.0),
        Some("day") => Ok(interval * 24.0),
        Some(other) => {
            Err((format!("datepart cannot be {other}"), Some("one of minute, hour, day".to_owned())))
        }
    }
}

impl Check {
    /// The columns that make a test's name.
    fn columns(&self) -> Vec<String> {
        match self {
            Self::Unique { columns } => columns.clone(),
            Self::NotNull { column, .. }
            | Self::AcceptedValues { column, .. }
            | Self::Relationships { column, .. }
            | Self::AcceptedRange { column, .. }
            | Self::Recency { column, .. } => vec![column.clone()],
            _ => Vec::new(),
        }
    }
}

/// What is left of a test's arguments: each is taken once, so that unknown ones show.
struct Arguments(RawConfig);

impl Arguments {
    fn of(raw: &RawTest) -> Self {
        let mut map = raw.arguments.clone();
        if let Some(Value::Object(nested)) = map.remove("arguments") {
            map.extend(nested);
        }
        if let Some(column) = &raw.column {
            map.entry("column_name".to_owned()).or_insert_with(|| column.as_str().into());
        }
        Self(map)
    }

    fn optional_text(&mut self, key: &str) -> Option<String> {
        self.0.remove(key).and_then(|value| value.as_str().map(str::to_owned))
    }

    fn text(&mut self, kind: &str, key: &str) -> Result<String, Refusal> {
        self.optional_text(key).ok_or_else(|| (format!("test {kind} needs `{key}`, a text"), None))
    }

    fn column(&mut self, kind: &str) -> Result<String, Refusal> {
        let hint = Some("put it under a column, or give column_name".to_owned());
        self.optional_text("column_name").ok_or_else(|| (format!("test {kind} needs a column"), hint))
    }

    fn list(&mut self, kind: &str, key: &str) -> Result<Vec<Value>, Refusal> {
        match self.0.remove(key) {
            Some(Value::Array(items)) if !items.is_empty() => Ok(items),
            _ => Err((format!("test {kind} needs `{key}`, a list"), None)),
        }
    }

    fn texts(&mut self, kind: &str, key: &str) -> Result<Vec<String>, Refusal> {
        let items = self.list(kind, key)?;
        items
            .iter()
            .map(|item| {
                item.as_str().map(str::to_owned).ok_or_else(|| (format!("{key} must be texts"), None))
            })
            .collect()
    }

    fn number(&mut self, key: &str) -> Result<Option<f64>, Refusal> {
        match self.0.remove(key) {
            None => Ok(None),
            Some(value) => {
                value.as_f64().map(Some).ok_or_else(|| (format!("{key} must be a number, not {value}"), None))
            }
        }
    }
}
