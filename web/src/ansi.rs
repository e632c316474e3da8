//! Terminal colours in log lines become spans; every other control sequence is dropped, all text is escaped.

use crate::ui::esc;

#[derive(Default, Clone, PartialEq)]
struct Style {
    colour: Option<&'static str>,
    bold: bool,
    dim: bool,
    italic: bool,
    underline: bool,
}

const COLOURS: [&str; 8] = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"];

/// One log line as safe HTML.
pub fn to_html(line: &str) -> String {
    if !line.contains(['\u{1b}', '\u{9b}', '\r', '\u{8}']) {
        return esc(line);
    }
    let mut out = String::with_capacity(line.len() + 32);
    let mut style = Style::default();
    let mut text = String::new();
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' if chars.peek() == Some(&'[') => {
                chars.next();
                flush(&mut out, &mut text, &style);
                control_sequence(&mut chars, &mut style);
            }
            '\u{9b}' => {
                flush(&mut out, &mut text, &style);
                control_sequence(&mut chars, &mut style);
            }
            '\u{1b}' if chars.peek() == Some(&']') => skip_string(&mut chars),
            '\u{1b}' => {
                chars.next();
            }
            c if c.is_control() && c != '\t' => {}
            c => text.push(c),
        }
    }
    flush(&mut out, &mut text, &style);
    out
}

fn control_sequence(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, style: &mut Style) {
    let mut parameters = String::new();
    for c in chars.by_ref() {
        if ('\u{40}'..='\u{7e}').contains(&c) {
            if c == 'm' {
                apply(style, &parameters);
            }
            return;
        }
        parameters.push(c);
    }
}

/// An operating system command (window titles, links) ends with BEL or ST.
fn skip_string(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    while let Some(c) = chars.next() {
        if c == '\u{7}' {
            return;
        }
        if c == '\u{1b}' {
            chars.next();
            return;
        }
    }
}

fn apply(style: &mut Style, parameters: &str) {
    let mut codes = parameters.split(';').map(|code| code.parse::<u8>().unwrap_or(0));
    while let Some(code) = codes.next() {
        match code {
            0 => *style = Style::default(),
            1 => style.bold = true,
            2 => style.dim = true,
            3 => style.italic = true,
            4 => style.underline = true,
            22 => (style.bold, style.dim) = (false, false),
            23 => style.italic = false,
            24 => style.underline = false,
            30..=37 => style.colour = Some(COLOURS[usize::from(code - 30)]),
            90..=97 => style.colour = Some(COLOURS[usize::from(code - 90)]),
            39 => style.colour = None,
            // 256-colour and true-colour forms: their arguments are not codes.
            38 | 48 => {
                let skip = if codes.next() == Some(2) { 3 } else { 1 };
                codes.by_ref().take(skip).for_each(drop);
            }
            _ => {}
        }
    }
}

fn flush(out: &mut String, text: &mut String, style: &Style) {
    if text.is_empty() {
        return;
    }
    if *style == Style::default() {
        out.push_str(&esc(text));
    } else {
        let mut classes: Vec<String> = style.colour.iter().map(|c| format!("a-{c}")).collect();
        let flags = [
            (style.bold, "a-bold"),
            (style.dim, "a-dim"),
            (style.italic, "a-italic"),
            (style.underline, "a-underline"),
        ];
        classes.extend(flags.iter().filter(|(on, _)| *on).map(|(_, name)| (*name).to_string()));
        out.push_str(&format!(r#"<span class="{}">{}</span>"#, classes.join(" "), esc(text)));
    }
    text.clear();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_become_classes_and_text_is_escaped() {
        assert_eq!(
            to_html("\u{1b}[1;31m<b>no</b>\u{1b}[0m ok"),
            r#"<span class="a-red a-bold">&lt;b&gt;no&lt;/b&gt;</span> ok"#
        );
        assert_eq!(to_html("<script>alert(1)</script>"), "&lt;script&gt;alert(1)&lt;/script&gt;");
    }

    #[test]
    fn sequences_that_are_not_colours_leave_nothing_behind() {
        assert_eq!(to_html("\u{1b}[2Kdone\u{1b}[1A"), "done");
        assert_eq!(to_html("\u{1b}]0;title\u{7}text"), "text");
        assert_eq!(to_html("\u{1b}[38;5;196mred\u{1b}[m"), "red");
        assert_eq!(to_html("cut \u{1b}["), "cut ");
    }
}
