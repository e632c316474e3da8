//! SQL text as tokens: enough to rewrite words, literals and calls, and to leave everything else as it is written.

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// Blanks and comments.
    Space(String),
    Word(String),
    /// `"name"`, without its quotes.
    Quoted(String),
    /// A name in backticks, with them: BigQuery's own quoting.
    Ticked(String),
    /// `'text'`, without its quotes and with doubled ones made single.
    Text(String),
    Number(String),
    /// `$1` is 1.
    Param(usize),
    Sign(char),
}

impl Token {
    pub(super) fn is_sign(&self, sign: char) -> bool {
        *self == Self::Sign(sign)
    }

    pub(super) fn is_word(&self, word: &str) -> bool {
        matches!(self, Self::Word(own) if own.eq_ignore_ascii_case(word))
    }

    pub(super) fn is_space(&self) -> bool {
        matches!(self, Self::Space(_))
    }
}

pub(super) fn tokens(sql: &str) -> Vec<Token> {
    let mut rest = sql;
    let mut found = Vec::new();
    while let Some(first) = rest.chars().next() {
        let (token, taken) = next(first, rest);
        found.push(token);
        rest = &rest[taken..];
    }
    found
}

fn next(first: char, rest: &str) -> (Token, usize) {
    let up_to = |is_end: &dyn Fn(char) -> bool| rest.find(is_end).unwrap_or(rest.len());
    match first {
        _ if rest.starts_with("--") => {
            let end = rest.find('\n').unwrap_or(rest.len());
            (Token::Space(rest[..end].to_owned()), end)
        }
        _ if rest.starts_with("/*") => {
            let end = rest.find("*/").map_or(rest.len(), |at| at + 2);
            (Token::Space(rest[..end].to_owned()), end)
        }
        '\'' => {
            let (text, taken) = quoted(rest, '\'');
            (Token::Text(text), taken)
        }
        '"' => {
            let (text, taken) = quoted(rest, '"');
            (Token::Quoted(text), taken)
        }
        '`' => {
            let end = rest[1..].find('`').map_or(rest.len(), |at| at + 2);
            (Token::Ticked(rest[..end].to_owned()), end)
        }
        '$' if rest[1..].starts_with(|c: char| c.is_ascii_digit()) => {
            let digits = rest[1..].find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len() - 1);
            (Token::Param(rest[1..=digits].parse().unwrap_or_default()), digits + 1)
        }
        _ if first.is_whitespace() => {
            let end = up_to(&|c| !c.is_whitespace());
            (Token::Space(rest[..end].to_owned()), end)
        }
        _ if first.is_alphabetic() || first == '_' || first == '@' => {
            let end = up_to(&|c| !(c.is_alphanumeric() || matches!(c, '_' | '@')));
            (Token::Word(rest[..end].to_owned()), end)
        }
        _ if first.is_ascii_digit() => {
            let end = up_to(&|c| !(c.is_ascii_alphanumeric() || c == '.'));
            (Token::Number(rest[..end].to_owned()), end)
        }
        other => (Token::Sign(other), other.len_utf8()),
    }
}

/// The text between two quotes, where a doubled quote is one of the text's own; and how much was read.
fn quoted(rest: &str, quote: char) -> (String, usize) {
    let mut text = String::new();
    let mut letters = rest.char_indices().skip(1).peekable();
    while let Some((at, letter)) = letters.next() {
        if letter != quote {
            text.push(letter);
        } else if letters.peek().is_some_and(|(_, next)| *next == quote) {
            text.push(quote);
            letters.next();
        } else {
            return (text, at + 1);
        }
    }
    (text, rest.len())
}

/// The position behind the parenthesis that closes the one at `open`, or `None` where it is not closed.
pub(super) fn closing(tokens: &[Token], open: usize) -> Option<usize> {
    let mut depth = 0usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        if token.is_sign('(') {
            depth += 1;
        } else if token.is_sign(')') {
            depth -= 1;
            if depth == 0 {
                return Some(at);
            }
        }
    }
    None
}
