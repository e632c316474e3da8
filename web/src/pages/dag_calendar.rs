//! A year of a dag, day by day: how its runs went, and when it will run.

use super::dag_head::{self, DagHead};
use super::shell::Shell;
use super::{Page, show};
use crate::app::Shared;
use crate::auth::Viewer;
use crate::svg::year::{self, Day};
use crate::ui::{self, Html};
use askama::Template;
use axum::extract::{Path, Query, State};
use chrono::{DateTime, Datelike, Days, NaiveDate, TimeZone, Utc};
use model::RunState;
use model::dag::Schedule;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Ticks that are counted: those of a year of a dag that runs each five minutes.
const TICKS_MAX: usize = 110_000;
const YEARS_BACK: i32 = 10;
const YEARS_AHEAD: i32 = 2;

#[derive(Template)]
#[template(path = "dag_calendar.html")]
struct CalendarPage {
    shell: Shell,
    head: DagHead,
    year: i32,
    /// Other years, as far as one would look.
    before: Option<String>,
    after: Option<String>,
    zone: String,
    summary: Vec<(Html, String)>,
    planned: String,
    /// Why no days are planned, or which are not counted.
    words: String,
    svg: Html,
}

#[derive(Deserialize)]
pub struct Asked {
    year: Option<i32>,
}

#[derive(Default)]
struct Sum {
    runs: BTreeMap<RunState, i64>,
    planned: usize,
}

pub async fn page(
    State(app): State<Shared>,
    viewer: Viewer,
    Path(dag): Path<String>,
    Query(asked): Query<Asked>,
) -> Page {
    let row = dag_head::find(&app, &dag).await?;
    let now = app.clock.now();
    let zone = row.dag.schedule.zone();
    let today = now.with_timezone(&zone).date_naive();
    let year = asked.year.unwrap_or(today.year()).clamp(1970, 2200);
    let first = NaiveDate::from_ymd_opt(year, 1, 1).unwrap_or(today);
    let next = NaiveDate::from_ymd_opt(year + 1, 1, 1).unwrap_or(today);
    let (from, to) = (begin_of(zone, first), begin_of(zone, next));
    let mut days: BTreeMap<NaiveDate, Sum> = BTreeMap::new();
    for (day, state, count) in app.store.runs_by_day(&dag, zone.name(), from, to).await? {
        *days.entry(day).or_default().runs.entry(state).or_default() += count;
    }
    let mut cut_after = None;
    if !row.paused && row.present {
        let calendar = model::schedule::calendar(&row.dag, now.max(from), to, TICKS_MAX);
        cut_after = calendar.cut_after;
        for day in calendar.days {
            days.entry(day.date).or_default().planned += day.ticks;
        }
    }
    let base = ui::dag_url(&dag);
    let shell = Shell::new(&app, viewer, "dags", format!("{dag} calendar"), format!("{base}/calendar"));
    let all: Vec<Day> = first
        .iter_days()
        .take_while(|day| *day < next)
        .map(|date| square(&base, date, days.get(&date), today))
        .collect();
    show(&CalendarPage {
        head: DagHead::new(&app, &shell, &row, "calendar"),
        before: (year > today.year() - YEARS_BACK).then(|| format!("{base}/calendar?year={}", year - 1)),
        after: (year < today.year() + YEARS_AHEAD).then(|| format!("{base}/calendar?year={}", year + 1)),
        zone: zone.name().to_string(),
        summary: summary(&days),
        planned: ui::number(days.values().map(|day| day.planned).sum::<usize>() as f64),
        svg: year::draw(&all, &format!("Days of {year}")),
        words: match (model::schedule::without_ticks(&row.dag.schedule), cut_after) {
            (Some(words), _) => words,
            (None, Some(last)) => {
                format!("planned days after {} are not counted", last.with_timezone(&zone).date_naive())
            }
            (None, None) => String::new(),
        },
        year,
        shell,
    })
}

fn begin_of(zone: chrono_tz::Tz, date: NaiveDate) -> DateTime<Utc> {
    // Where midnight does not exist, the day begins an hour or two later; nothing runs in between.
    let midnight = date.and_time(chrono::NaiveTime::MIN);
    (0..24)
        .find_map(|hour| zone.from_local_datetime(&(midnight + chrono::TimeDelta::hours(hour))).earliest())
        .map_or_else(|| midnight.and_utc(), |at| at.to_utc())
}

fn square(base: &str, date: NaiveDate, sum: Option<&Sum>, today: NaiveDate) -> Day {
    let mut words = vec![date.format("%A, %-d %B %Y").to_string()];
    let (mut class, mut sign) = (String::new(), "");
    let mut has_runs = false;
    if let Some(sum) = sum {
        words.extend(sum.runs.iter().map(|(state, count)| format!("{count} {state}")));
        if sum.planned > 0 {
            words.push(format!("{} planned", sum.planned));
        }
        has_runs = !sum.runs.is_empty();
        match worst(&sum.runs) {
            Some(state) => {
                class = ui::state_class(state.as_str());
                sign = if state == RunState::Success { "" } else { ui::glyph(state.as_str()) };
            }
            None if sum.planned > 0 => class = "planned".into(),
            None => {}
        }
    }
    if words.len() == 1 {
        words.push("nothing".into());
    }
    Day {
        class,
        sign,
        words: words.join(", "),
        href: has_runs.then(|| format!("{base}/runs?day={date}")),
        today: date == today,
        date,
    }
}

/// What a person wants to see first of a day.
fn worst(runs: &BTreeMap<RunState, i64>) -> Option<RunState> {
    use RunState::*;
    [Failed, Running, Queued, Cancelled, Success].into_iter().find(|state| runs.contains_key(state))
}

fn summary(days: &BTreeMap<NaiveDate, Sum>) -> Vec<(Html, String)> {
    let mut all: BTreeMap<RunState, i64> = BTreeMap::new();
    for (state, count) in days.values().flat_map(|day| &day.runs) {
        *all.entry(*state).or_default() += count;
    }
    all.into_iter().map(|(state, count)| (ui::badge(state.as_str()), ui::number(count as f64))).collect()
}

/// The instants between which the runs of one local day lie; for the list of runs.
pub fn day_bounds(schedule: &Schedule, day: NaiveDate) -> (DateTime<Utc>, DateTime<Utc>) {
    let zone = schedule.zone();
    let next = day.checked_add_days(Days::new(1)).unwrap_or(day);
    (begin_of(zone, day), begin_of(zone, next) - chrono::TimeDelta::microseconds(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_day_of_the_change_of_clocks_has_23_hours() {
        let berlin =
            Schedule::Cron { expressions: vec!["0 * * * *".into()], timezone: "Europe/Berlin".into() };
        let (from, to) = day_bounds(&berlin, NaiveDate::from_ymd_opt(2026, 3, 29).unwrap());
        assert_eq!((to - from).num_minutes(), 23 * 60 - 1);
        assert_eq!(from.to_rfc3339(), "2026-03-28T23:00:00+00:00");
    }
}
