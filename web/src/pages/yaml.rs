//! YAML with its comments and keys set apart: enough to read it by, not a parser.

use crate::ui::{Html, esc};

pub fn highlight(source: &str) -> Html {
    let mut out = String::with_capacity(source.len() * 2);
    for line in source.lines() {
        out.push_str("<span>");
        let indent = line.len() - line.trim_start().len();
        let (space, rest) = line.split_at(indent);
        out.push_str(space);
        match key_end(rest) {
            _ if rest.starts_with('#') => out.push_str(&format!("<em>{}</em>", esc(rest))),
            Some(end) => out.push_str(&format!("<b>{}</b>{}", esc(&rest[..end]), esc(&rest[end..]))),
            None => out.push_str(&esc(rest)),
        }
        out.push_str("</span>");
    }
    Html(out)
}

/// Where the key at the start of the line ends.
fn key_end(line: &str) -> Option<usize> {
    let colon = line.find(':')?;
    let is_key =
        line[..colon].trim_start_matches("- ").chars().all(|c| c.is_alphanumeric() || "_-.\"'/".contains(c));
    let ends = line[colon + 1..].is_empty() || line[colon + 1..].starts_with(' ');
    (is_key && ends && colon > 0).then_some(colon)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_comments_stand_out_and_everything_is_escaped() {
        let html = highlight("# <hi>\ndag: x\n  - \"a<b\"").0;
        assert_eq!(
            html,
            "<span><em># &lt;hi&gt;</em></span><span><b>dag</b>: x</span><span>  - &quot;a&lt;b&quot;</span>"
        );
    }
}
