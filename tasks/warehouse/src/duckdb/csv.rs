//! Replacing a table by a CSV file; a missing column or a bad row names the file and the line.

use std::fs::File;
use std::io::{self, BufRead, BufReader};

use ::duckdb::Connection;

use super::hour::{definition, local_path, qualified, split, type_name, value};
use super::run;
use crate::{ColumnType, Error, LoadColumn, quote_identifier, quote_text};

pub(crate) struct Plan {
    schema: String,
    table: String,
    path: String,
    columns: Vec<LoadColumn>,
}

impl Plan {
    pub(crate) fn of(table: &str, uri: &str, columns: &[LoadColumn]) -> Result<Self, Error> {
        let (schema, name) = split(table)?;
        let path = local_path(uri)?;
        Ok(Self {
            schema: schema.to_owned(),
            table: qualified(schema, name),
            path,
            columns: columns.to_vec(),
        })
    }

    pub(crate) fn execute(&self, connection: &Connection) -> Result<u64, Error> {
        let source = self.source()?;
        let definitions = self.columns.iter().map(definition).collect::<Vec<_>>().join(", ");
        let values = self.columns.iter().map(value).collect::<Vec<_>>().join(", ");
        let schema = quote_identifier(&self.schema);
        run::execute(connection, &format!("create schema if not exists {schema}"), &[])?;
        run::execute(connection, &format!("create or replace table {} ({definitions})", self.table), &[])?;
        let insert = format!("insert into {} select {values} from {source}", self.table);
        run::execute(connection, &insert, &[]).map_err(|error| self.row_error(error))
    }

    /// The file as a table function with every column's type given: nothing is guessed from the data.
    fn source(&self) -> Result<String, Error> {
        let header = self.header()?;
        let missing = self.columns.iter().map(|column| column.name.as_str());
        let missing: Vec<&str> = missing.filter(|name| !header.iter().any(|known| known == name)).collect();
        if !missing.is_empty() {
            return Err(Error::Input {
                file: format!("{}:1", self.path),
                message: format!(
                    "no column {} in the header; it has {}",
                    missing.join(", "),
                    header.join(", ")
                ),
            });
        }
        let types = header.iter().map(|name| {
            let known = self.columns.iter().find(|column| column.name == *name);
            let kind = known.map_or(ColumnType::String, |column| column.kind);
            format!("{}: {}", quote_text(name), quote_text(type_name(kind)))
        });
        let file = File::open(&self.path).map_err(|error| self.file_error(&error))?;
        let escape = escape_character(BufReader::new(file)).map_err(|error| self.file_error(&error))?;
        Ok(format!(
            "read_csv({}, auto_detect = false, header = true, delim = ',', quote = '\"', escape = '{escape}', \
             columns = {{{}}})",
            quote_text(&self.path),
            types.collect::<Vec<_>>().join(", ")
        ))
    }

    fn header(&self) -> Result<Vec<String>, Error> {
        let file = File::open(&self.path).map_err(|error| self.file_error(&error))?;
        let mut records = ::csv::ReaderBuilder::new().has_headers(false).from_reader(file);
        let mut first = ::csv::StringRecord::new();
        match records.read_record(&mut first) {
            Ok(true) => Ok(first.iter().map(|name| name.trim().to_owned()).collect()),
            Ok(false) => {
                Err(self.file_error(&io::Error::other("the file is empty; the first line names the columns")))
            }
            Err(error) => Err(self.file_error(&io::Error::other(error))),
        }
    }

    fn file_error(&self, error: &io::Error) -> Error {
        Error::Input { file: self.path.clone(), message: error.to_string() }
    }

    fn row_error(&self, error: Error) -> Error {
        let Error::Sql { message, .. } = error else { return error };
        // DuckDB says "CSV Error on Line: 7", then many lines of advice on its own options.
        let line = message
            .split("Line: ")
            .nth(1)
            .map(|rest| rest.split(|letter: char| !letter.is_ascii_digit()).next());
        let file = match line.flatten() {
            Some(line) if !line.is_empty() => format!("{}:{line}", self.path),
            _ => self.path.clone(),
        };
        Error::Input { file, message: message.lines().take(3).collect::<Vec<_>>().join("; ") }
    }
}

/// A quote inside a quoted field is doubled (RFC 4180) or, as in the Million Song files, follows a backslash.
/// A file that breaks the first rule is read by the second.
fn escape_character(file: impl BufRead) -> io::Result<char> {
    let mut quoted = false;
    let mut after_quote = false;
    let mut at_field_start = true;
    for line in file.split(b'\n') {
        for byte in line?.into_iter().chain([b'\n']) {
            match (quoted, byte) {
                (true, b'"') => (quoted, after_quote) = (false, true),
                (true, _) => {}
                (false, b'"') if after_quote => (quoted, after_quote) = (true, false),
                (false, b'"') if at_field_start => quoted = true,
                (false, b',' | b'\n' | b'\r') => after_quote = false,
                (false, _) if after_quote => return Ok('\\'),
                (false, _) => {}
            }
            at_field_start = !quoted && matches!(byte, b',' | b'\n');
        }
    }
    Ok('"')
}

#[cfg(test)]
mod tests {
    use super::escape_character;

    #[test]
    fn the_escape_is_the_one_that_the_file_uses() {
        let cases =
            [("a,b\n\"x\"\"y\",1\n", '"'), ("a\n\"x \\\"1812\\\"; y\"\n", '\\'), ("a,b\nx\\y,\"\"\n", '"')];
        for (text, escape) in cases {
            assert_eq!(escape_character(text.as_bytes()).unwrap(), escape, "{text}");
        }
    }
}
