//! A year of days: a column a week from Monday, a square a day.

use crate::ui::{Html, esc};
use chrono::{Datelike, NaiveDate};
use std::fmt::Write;

pub struct Day {
    pub date: NaiveDate,
    /// Of its colour; empty for a day without anything.
    pub class: String,
    /// One sign on the square, so that colour is never the only difference.
    pub sign: &'static str,
    pub words: String,
    /// Where its runs are listed; none if it has none.
    pub href: Option<String>,
    pub today: bool,
}

const STEP: i64 = 22;
const SIZE: i64 = 19;
const LEFT: i64 = 34;
const TOP: i64 = 20;

pub fn draw(days: &[Day], label: &str) -> Html {
    let Some(first) = days.first() else { return Html::default() };
    let begin = i64::from(first.date.weekday().num_days_from_monday());
    let weeks = (begin + days.len() as i64 + 6) / 7;
    let (width, height) = (LEFT + weeks * STEP, TOP + 7 * STEP);
    let mut svg = format!(
        r#"<svg class="year" width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="group" aria-label="{}">"#,
        esc(label)
    );
    for (row, name) in [(0, "Mon"), (2, "Wed"), (4, "Fri"), (6, "Sun")] {
        let _ = write!(svg, r#"<text x="0" y="{}">{name}</text>"#, TOP + row * STEP + 14);
    }
    for (i, day) in days.iter().enumerate() {
        let place = begin + i as i64;
        let (x, y) = (LEFT + place / 7 * STEP, TOP + place % 7 * STEP);
        if day.date.day() == 1 {
            let _ = write!(svg, r#"<text x="{x}" y="12">{}</text>"#, day.date.format("%b"));
        }
        square(&mut svg, day, x, y);
    }
    svg.push_str("</svg>");
    Html(svg)
}

fn square(svg: &mut String, day: &Day, x: i64, y: i64) {
    let words = esc(&day.words);
    let today = if day.today { " today" } else { "" };
    let sign = if day.sign.is_empty() {
        String::new()
    } else {
        format!(
            r#"<text class="sign" x="{}" y="{}" text-anchor="middle">{}</text>"#,
            x + SIZE / 2 + 1,
            y + 14,
            day.sign
        )
    };
    let drawn = format!(
        r#"<g class="day {}{today}"><title>{words}</title><rect x="{x}" y="{y}" width="{SIZE}" height="{SIZE}" rx="4"/>{sign}</g>"#,
        day.class
    );
    match &day.href {
        Some(href) => {
            let _ = write!(svg, r#"<a href="{}" aria-label="{words}">{drawn}</a>"#, esc(href));
        }
        None => svg.push_str(&drawn),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_has_one_square_and_only_days_with_runs_are_links() {
        let first = NaiveDate::from_ymd_opt(2028, 1, 1).unwrap();
        let day = |i: i64| Day {
            date: first + chrono::TimeDelta::days(i),
            class: "s-success".into(),
            sign: "",
            words: "<x>".into(),
            href: (i == 3).then(|| "/runs?day=1".into()),
            today: false,
        };
        let html = draw(&(0..366).map(day).collect::<Vec<_>>(), "2028").0;
        assert_eq!(html.matches("<rect").count(), 366);
        assert_eq!(html.matches("<a href").count(), 1);
        assert!(html.contains(">Feb<") && html.contains(">Dec<") && !html.contains("<x>"));
    }
}
