//! Our SQL as BigQuery spells it.
//!
//! The house's SQL is standard SQL as DuckDB takes it: names in double quotes, texts in single ones, `$1` for values. What differs in
//! letters only is rewritten here, token by token; what differs in meaning is the macros' work (`dbt.*`), and what has no faithful
//! counterpart is an error that says what to write.

use super::tokens::{Token, closing, tokens};

/// What a rewriting needs to know.
pub(super) struct Spelling<'a> {
    /// The dataset of a schema, where it has another name.
    pub(super) dataset: &'a dyn Fn(&str) -> Option<String>,
    /// How a bound value is written: `@p1`, or `null`.
    pub(super) value: &'a dyn Fn(usize) -> String,
}

impl Spelling<'_> {
    /// # Errors
    /// What cannot be said, and what to write instead.
    pub(super) fn of(&self, sql: &str) -> Result<String, String> {
        let mut tokens = tokens(sql);
        while matches!(tokens.last(), Some(Token::Space(_) | Token::Sign(';'))) {
            tokens.pop();
        }
        self.write(&tokens)
    }

    fn write(&self, tokens: &[Token]) -> Result<String, String> {
        let mut out = String::new();
        let mut at = 0;
        while at < tokens.len() {
            if let Some((text, end)) = self.call(tokens, at)? {
                out.push_str(&text);
                at = end;
                continue;
            }
            self.token(tokens, at, &mut out)?;
            at += 1;
        }
        Ok(out)
    }

    fn token(&self, tokens: &[Token], at: usize, out: &mut String) -> Result<(), String> {
        match &tokens[at] {
            Token::Space(text) | Token::Number(text) | Token::Ticked(text) => out.push_str(text),
            Token::Text(text) => out.push_str(&literal(text)),
            Token::Param(number) => out.push_str(&(self.value)(*number)),
            Token::Quoted(name) => out.push_str(&ticked(&self.renamed(tokens, at, name))),
            Token::Word(word) => self.word(tokens, at, word, out),
            Token::Sign(':') if next(tokens, at).is_some_and(|other| other.is_sign(':')) => {
                return Err("`x::type` is DuckDB's own; write cast(x as type)".to_owned());
            }
            Token::Sign('%') => return Err("`a % b` is not known to BigQuery; write mod(a, b)".to_owned()),
            Token::Sign(sign) => out.push(*sign),
        }
        Ok(())
    }

    fn word(&self, tokens: &[Token], at: usize, word: &str, out: &mut String) {
        let follows = |known: &[&str]| {
            significant(tokens, at + 1).is_some_and(|next| known.iter().any(|word| next.is_word(word)))
        };
        let before = (0..at).rev().map(|index| &tokens[index]).find(|token| !token.is_space());
        let is_part = before.is_some_and(|token| token.is_sign('.'));
        let lower = word.to_ascii_lowercase();
        match lower.as_str() {
            _ if !is_part && next(tokens, at).is_some_and(|token| token.is_sign('.')) => {
                match (self.dataset)(word) {
                    Some(dataset) => out.push_str(&ticked(&dataset)),
                    None => out.push_str(word),
                }
            }
            "union" | "intersect" if !is_part && !follows(&["all", "distinct"]) => {
                out.push_str(&format!("{word} distinct"));
            }
            // `select * except (a)` is another thing.
            "except" if !before.is_some_and(|token| token.is_sign('*')) && !follows(&["all", "distinct"]) => {
                out.push_str(&format!("{word} distinct"));
            }
            "materialized" if before.is_some_and(|token| token.is_word("as")) => {}
            "varchar" if !is_part => out.push_str("string"),
            "double" if !is_part => out.push_str("float64"),
            "bigint" | "integer" if !is_part => out.push_str("int64"),
            "boolean" if !is_part => out.push_str("bool"),
            _ => out.push_str(word),
        }
    }

    fn renamed(&self, tokens: &[Token], at: usize, name: &str) -> String {
        let first = !at.checked_sub(1).is_some_and(|before| tokens[before].is_sign('.'));
        let qualifies = next(tokens, at).is_some_and(|token| token.is_sign('.'));
        (first && qualifies).then(|| (self.dataset)(name)).flatten().unwrap_or_else(|| name.to_owned())
    }

    /// A call whose arguments BigQuery orders or names otherwise, and the position behind it.
    fn call(&self, tokens: &[Token], at: usize) -> Result<Option<(String, usize)>, String> {
        let is_trunc = tokens[at].is_word("date_trunc");
        if !is_trunc && !tokens[at].is_word("extract") {
            return Ok(None);
        }
        let open = at + 1;
        if !tokens.get(open).is_some_and(|token| token.is_sign('(')) {
            return Ok(None);
        }
        let Some(close) = closing(tokens, open) else { return Ok(None) };
        let inside = &tokens[open + 1..close];
        let Some(start) = inside.iter().position(|token| !token.is_space()) else { return Ok(None) };
        let rest = &inside[start + 1..];
        let text = match &inside[start] {
            Token::Text(part) if is_trunc => {
                let comma = rest.iter().position(|token| token.is_sign(','));
                let Some(comma) = comma else { return Ok(None) };
                let date = self.write(&rest[comma + 1..])?;
                let part = if part.eq_ignore_ascii_case("week") { "isoweek" } else { part };
                format!("timestamp_trunc({}, {part})", date.trim())
            }
            Token::Word(part) if !is_trunc && part.eq_ignore_ascii_case("dow") => {
                format!("(extract(dayofweek{}) - 1)", self.write(rest)?)
            }
            Token::Word(part) if !is_trunc && part.eq_ignore_ascii_case("week") => {
                format!("extract(isoweek{})", self.write(rest)?)
            }
            Token::Word(part) if !is_trunc && part.eq_ignore_ascii_case("epoch") => {
                return Err(
                    "extract(epoch ..) is not known to BigQuery; use dbt.epoch_seconds(..)".to_owned()
                );
            }
            _ => return Ok(None),
        };
        Ok(Some((text, close + 1)))
    }
}

fn next(tokens: &[Token], at: usize) -> Option<&Token> {
    tokens.get(at + 1)
}

fn significant(tokens: &[Token], from: usize) -> Option<&Token> {
    tokens.get(from..)?.iter().find(|token| !token.is_space())
}

/// A name as BigQuery quotes it.
pub(super) fn ticked(name: &str) -> String {
    format!("`{}`", name.replace('\\', "\\\\").replace('`', "\\`"))
}

/// A text as BigQuery writes it, where a backslash begins an escape and a doubled quote does not.
pub(super) fn literal(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('\'', "\\'").replace('\n', "\\n").replace('\r', "\\r");
    format!("'{escaped}'")
}

#[cfg(test)]
mod tests {
    use super::Spelling;

    fn spelt(sql: &str) -> Result<String, String> {
        let dataset = |schema: &str| (schema == "prod").then(|| "house_prod".to_owned());
        let value = |number: usize| format!("@p{number}");
        Spelling { dataset: &dataset, value: &value }.of(sql)
    }

    #[test]
    fn names_texts_and_values_are_quoted_as_bigquery_does() {
        let cases = [
            (
                r#"select "a b", 'it''s \ "x"' from /* it's "x" */ t"#,
                r#"select `a b`, 'it\'s \\ "x"' from /* it's "x" */ t"#,
            ),
            ("select $2, '$1' from t where a = $11;", "select @p2, '$1' from t where a = @p11"),
            ("replace(a, '\\', '')", r"replace(a, '\\', '')"),
            ("select `p.d.t`.x", "select `p.d.t`.x"),
        ];
        for (ours, theirs) in cases {
            assert_eq!(spelt(ours).unwrap(), theirs);
        }
    }

    #[test]
    fn a_schema_is_its_dataset_only_where_it_qualifies() {
        let ours = r#"select prod, t.prod from prod.t join "prod"."u" as t"#;
        assert_eq!(
            spelt(ours).unwrap(),
            "select prod, t.prod from `house_prod`.t join `house_prod`.`u` as t"
        );
    }

    #[test]
    fn set_operations_say_distinct() {
        assert_eq!(
            spelt("select 1 union select 2 union all select 3 except select 4 intersect distinct select 5")
                .unwrap(),
            "select 1 union distinct select 2 union all select 3 except distinct select 4 intersect distinct select 5"
        );
        assert_eq!(spelt("select * except (a) from t").unwrap(), "select * except (a) from t");
    }

    #[test]
    fn calls_take_their_arguments_as_bigquery_orders_them() {
        let cases = [
            ("date_trunc('day', max(hour))", "timestamp_trunc(max(hour), day)"),
            ("date_trunc('hour', date_trunc('day', a))", "timestamp_trunc(timestamp_trunc(a, day), hour)"),
            ("timestamp_trunc(a, day)", "timestamp_trunc(a, day)"),
            ("extract(dow from hour)", "(extract(dayofweek from hour) - 1)"),
            ("extract(week from hour)", "extract(isoweek from hour)"),
            ("extract(hour from a.hour)", "extract(hour from a.hour)"),
        ];
        for (ours, theirs) in cases {
            assert_eq!(spelt(ours).unwrap(), theirs);
        }
    }

    #[test]
    fn types_have_their_names() {
        assert_eq!(
            spelt("cast(a as varchar), cast(double.varchar as double)").unwrap(),
            "cast(a as string), cast(double.varchar as float64)"
        );
    }

    #[test]
    fn what_cannot_be_said_names_the_way_out() {
        for (sql, way) in [
            ("a::int", "cast(x as type)"),
            ("a % 7", "mod(a, b)"),
            ("extract(epoch from a)", "epoch_seconds"),
        ] {
            assert!(spelt(sql).unwrap_err().contains(way), "{sql}");
        }
    }
}
