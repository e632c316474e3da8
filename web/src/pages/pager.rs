//! Newer and older, for long lists.

use crate::ui::{Html, esc, number};

/// Asked for with `?offset=`.
#[derive(Debug, Clone, Copy)]
pub struct Paging {
    pub limit: i64,
    pub offset: i64,
}

impl Paging {
    pub fn new(limit: i64, offset: Option<i64>) -> Paging {
        Paging { limit, offset: offset.unwrap_or(0).clamp(0, 10_000_000) }
    }

    /// `base` is the address without `offset`, ending in `?` or `&`.
    pub fn links(&self, base: &str, shown: usize, total: i64) -> Html {
        self.links_by(&format!("{base}offset="), ["Newer", "Older"], shown, total)
    }

    /// `base` is the address up to the number, and `names` those of the way back and the way on.
    pub fn links_by(&self, base: &str, names: [&str; 2], shown: usize, total: i64) -> Html {
        if self.offset == 0 && (shown as i64) >= total {
            return Html(String::new());
        }
        let base = esc(base);
        let button = |rel: &str, offset: i64, name: &str| {
            format!(r#"<a class="btn" rel="{rel}" href="{base}{offset}">{name}</a>"#)
        };
        let newer = if self.offset > 0 {
            button("prev", (self.offset - self.limit).max(0), names[0])
        } else {
            String::new()
        };
        let has_older = self.offset + (shown as i64) < total;
        let older =
            if has_older { button("next", self.offset + self.limit, names[1]) } else { String::new() };
        let (first, last) = (self.offset + 1, self.offset + shown as i64);
        Html(format!(
            r#"<nav class="pager" aria-label="Pages">{newer}{older}<span>{}–{} of {}</span></nav>"#,
            number(first as f64),
            number(last as f64),
            number(total as f64)
        ))
    }
}
