//! A seed: a small CSV file that is versioned with the project.

use model::Problem;
use sha2::{Digest, Sha256};
use warehouse::{Statement, Value, quote_identifier};

/// Larger files belong in the lake.
const MAX_ROWS: usize = 100_000;
/// Rows of one insert statement.
const CHUNK: usize = 500;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Int,
    Float,
    Text,
}

#[derive(Clone)]
pub(crate) struct Seed {
    pub(crate) name: String,
    pub(crate) path: String,
    pub(crate) digest: String,
    columns: Vec<(String, Kind)>,
    rows: Vec<Vec<String>>,
}

impl Seed {
    /// Blanks around values and a byte order mark are not data.
    pub(crate) fn parse(name: &str, path: &str, text: &str) -> Result<Self, Problem> {
        let text = text.trim_start_matches('\u{feff}');
        let fail = |line: u64, message: String| Problem {
            file: path.to_owned(),
            line: usize::try_from(line).unwrap_or_default(),
            column: usize::from(line > 0),
            message,
            hint: None,
        };
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
        let bad =
            |error: &csv::Error| fail(error.position().map_or(0, csv::Position::line), error.to_string());
        let header: Vec<String> =
            reader.headers().map_err(|error| bad(&error))?.iter().map(str::to_owned).collect();
        if let Some(empty) = header.iter().position(String::is_empty) {
            return Err(fail(1, format!("column {} has no name", empty + 1)));
        }
        let mut rows = Vec::new();
        for record in reader.records() {
            let record = record.map_err(|error| bad(&error))?;
            if rows.len() == MAX_ROWS {
                return Err(fail(0, format!("more than {MAX_ROWS} rows; load it as a source instead")));
            }
            rows.push(record.iter().map(str::to_owned).collect::<Vec<_>>());
        }
        let kinds = (0..header.len()).map(|index| kind_of(rows.iter().map(|row| row[index].as_str())));
        let columns = header.iter().cloned().zip(kinds).collect();
        let digest = Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { name: name.to_owned(), path: path.to_owned(), digest, columns, rows })
    }

    pub(crate) fn create_sql(&self, table: &str) -> String {
        let columns = self.columns.iter().map(|(name, kind)| {
            let kind = match kind {
                Kind::Int => "bigint",
                Kind::Float => "double",
                Kind::Text => "varchar",
            };
            format!("{} {kind}", quote_identifier(name))
        });
        format!("create or replace table {table} ({})", columns.collect::<Vec<_>>().join(", "))
    }

    pub(crate) fn inserts(&self, table: &str) -> Vec<Statement> {
        let insert = |rows: &[Vec<String>]| {
            let mut number = 0;
            let tuples = rows.iter().map(|row| {
                let places = row.iter().map(|_| {
                    number += 1;
                    format!("${number}")
                });
                format!("({})", places.collect::<Vec<_>>().join(", "))
            });
            let sql = format!("insert into {table} values {}", tuples.collect::<Vec<_>>().join(", "));
            let values = rows
                .iter()
                .flat_map(|row| row.iter().zip(&self.columns).map(|(text, (_, kind))| value(text, *kind)));
            Statement::with(sql, values)
        };
        self.rows.chunks(CHUNK).map(insert).collect()
    }

    pub(crate) fn row_count(&self) -> u64 {
        self.rows.len() as u64
    }
}

fn value(text: &str, kind: Kind) -> Value {
    match kind {
        _ if text.is_empty() => Value::Null,
        Kind::Int => text.parse::<i64>().map_or(Value::Null, Value::Int),
        Kind::Float => text.parse::<f64>().map_or(Value::Null, Value::Float),
        Kind::Text => Value::from(text),
    }
}

/// Codes with leading zeros stay texts.
fn kind_of<'a>(values: impl Iterator<Item = &'a str> + Clone) -> Kind {
    let mut filled = values.filter(|text| !text.is_empty()).peekable();
    if filled.peek().is_none() {
        return Kind::Text;
    }
    let code = |text: &str| text.len() > 1 && text.starts_with('0') && !text.contains('.');
    if filled.clone().all(|text| text.parse::<i64>().is_ok() && !code(text)) {
        Kind::Int
    } else if filled.all(|text| text.parse::<f64>().is_ok_and(f64::is_finite) && !code(text)) {
        Kind::Float
    } else {
        Kind::Text
    }
}

#[cfg(test)]
mod tests {
    use super::{Kind, Seed};

    #[test]
    fn a_mark_and_blanks_are_not_data_and_codes_stay_texts() {
        let seed = Seed::parse("s", "seeds/s.csv", "\u{feff}code,zip,n,x\nDC ,00501, 7,1.5\nNY,10001,8,2\n")
            .unwrap();
        let kinds: Vec<_> = seed.columns.iter().map(|(name, kind)| (name.as_str(), *kind)).collect();
        assert_eq!(kinds, [("code", Kind::Text), ("zip", Kind::Text), ("n", Kind::Int), ("x", Kind::Float)]);
        assert_eq!(seed.rows[0], ["DC", "00501", "7", "1.5"]);
    }

    #[test]
    fn a_short_row_names_its_line() {
        let problem = Seed::parse("s", "seeds/s.csv", "a,b\n1,2\n3\n").err().unwrap();
        assert_eq!((problem.file.as_str(), problem.line), ("seeds/s.csv", 3));
    }
}
