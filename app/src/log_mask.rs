//! The last door of the log: values of secrets do not pass it, whatever line they stand in.

use std::io::{self, Write};
use std::sync::Arc;
use tracing_subscriber::fmt::MakeWriter;
use url::Url;

const SHOWN: &str = "***";
/// A shorter password inside a URL may be an ordinary word, and hiding it would hide half the log.
const PASSWORD_CHARS_MIN: usize = 8;

/// Standard error without secrets.
#[derive(Clone)]
pub struct Masked(Arc<[String]>);

impl Masked {
    /// `secrets` are hidden as they are and as they look when quoted; of those that are URLs, the password too.
    pub fn of(secrets: impl IntoIterator<Item = String>) -> Masked {
        let mut values: Vec<String> = Vec::new();
        for secret in secrets {
            values.extend(password(&secret));
            values.extend(secret.lines().map(|line| line.trim().to_string()));
            values.push(secret);
        }
        let quoted: Vec<String> = values
            .iter()
            .flat_map(|value| [format!("{value:?}"), serde_json::json!(value).to_string()])
            .collect();
        values.extend(quoted.iter().map(|text| text[1..text.len() - 1].to_string()));
        values.retain(|value| !value.trim().is_empty());
        values.sort_by(|a, b| b.len().cmp(&a.len()).then(a.cmp(b)));
        values.dedup();
        Masked(values.into())
    }

    fn apply(&self, text: &str) -> Option<String> {
        let found = self.0.iter().any(|value| text.contains(value.as_str()));
        found.then(|| self.0.iter().fold(text.to_string(), |text, value| text.replace(value.as_str(), SHOWN)))
    }
}

fn password(secret: &str) -> Option<String> {
    let url = Url::parse(secret).ok()?;
    let password = url.password()?.to_string();
    (password.chars().count() >= PASSWORD_CHARS_MIN && password != url.username()).then_some(password)
}

impl MakeWriter<'_> for Masked {
    type Writer = Line;

    fn make_writer(&self) -> Line {
        Line(self.clone())
    }
}

/// One line: the subscriber writes it as a whole.
pub struct Line(Masked);

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.apply(&String::from_utf8_lossy(bytes)) {
            Some(masked) => io::stderr().write_all(masked.as_bytes())?,
            None => io::stderr().write_all(bytes)?,
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(secrets: &[&str], text: &str) -> String {
        let masked = Masked::of(secrets.iter().map(|secret| (*secret).to_string()));
        masked.apply(text).unwrap_or_else(|| text.to_string())
    }

    #[test]
    fn secrets_are_hidden_as_they_are_and_quoted() {
        assert_eq!(shown(&["s3\"cret"], r#"a s3"cret, "s3\"cret""#), r#"a ***, "***""#);
        assert_eq!(shown(&["-----BEGIN\nabcdef\n"], "read abcdef"), "read ***");
        assert_eq!(shown(&["", "x1"], "nothing"), "nothing");
    }

    #[test]
    fn the_password_of_a_url_is_hidden_wherever_it_stands() {
        let url = "postgres://app:correct-horse@h/d";
        assert_eq!(shown(&[url], "at postgres://app:correct-horse@h/d, correct-horse"), "at ***, ***");
        assert_eq!(shown(&["postgres://streamify:streamify@h/d"], "streamify runs"), "streamify runs");
    }
}
