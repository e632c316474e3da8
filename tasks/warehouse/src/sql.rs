//! Quoting of the two things that cannot be bound: identifiers, and file names in table functions.

/// `name` as a quoted SQL identifier.
#[must_use]
pub fn quote_identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// `text` as a SQL string literal.
#[must_use]
pub fn quote_text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Splits `schema.table`; a name without a schema is `None`.
pub(crate) fn split_table(table: &str) -> Option<(&str, &str)> {
    table
        .split_once('.')
        .filter(|(schema, name)| !schema.is_empty() && !name.is_empty() && !name.contains('.'))
}

/// The first line that says something, for messages.
pub(crate) fn first_line(sql: &str) -> String {
    let line = sql.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    line.chars().take(160).collect()
}
