//! Compares what happened with what was expected.

use super::case::{Case, ExpectTask, Place, Selector};
use super::story::{Seen, Story, name, span};
use crate::dag::Dag;
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use serde_json::Value;

/// An expectation that did not come true, and where it stands in the test file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Miss {
    pub line: usize,
    pub column: usize,
    pub message: String,
}

/// In the order of the file; empty if all is as expected.
pub fn judge(dag: &Dag, case: &Case, story: &Story) -> Vec<Miss> {
    let mut judge = Judge { dag, story, misses: Vec::new() };
    let expect = &case.expect;
    if let Some((place, wanted)) = expect.run.filter(|(_, wanted)| *wanted != story.run) {
        judge.miss(place, format!("the run: expected {wanted}, was {}{}", story.run, judge.first_failure()));
    }
    for (place, selector, wanted) in &expect.tasks {
        judge.task(*place, selector, wanted);
    }
    for pair in expect.order.windows(2) {
        judge.order(&pair[0].1, &pair[1]);
    }
    for (place, selector) in &expect.not_started {
        for seen in judge.of(selector).into_iter().filter(|seen| seen.started.is_some()) {
            judge.miss(*place, format!("{}: expected not to start, {}", judge.name(seen), judge.times(seen)));
        }
    }
    let took = story.ended - story.began;
    let length = |duration| TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX);
    if let Some((place, least)) = expect.at_least.filter(|(_, least)| took < length(*least)) {
        judge.miss(place, format!("the run took {}, expected at least {}", span(took), span(length(least))));
    }
    if let Some((place, most)) = expect.at_most.filter(|(_, most)| took > length(*most)) {
        judge.miss(place, format!("the run took {}, expected at most {}", span(took), span(length(most))));
    }
    for (place, selector, wanted) in &expect.rendered {
        judge.rendered(*place, selector, wanted);
    }
    judge.misses.sort_by_key(|miss| (miss.line, miss.column));
    judge.misses
}

struct Judge<'a> {
    dag: &'a Dag,
    story: &'a Story,
    misses: Vec<Miss>,
}

impl<'a> Judge<'a> {
    fn miss(&mut self, place: Place, message: String) {
        self.misses.push(Miss { line: place.line, column: place.column, message });
    }

    fn of(&self, selector: &Selector) -> Vec<&'a Seen> {
        let matches = |seen: &&Seen| selector.matches(self.dag, seen.task, seen.map_index);
        self.story.instances.iter().filter(matches).collect()
    }

    fn name(&self, seen: &Seen) -> String {
        name(self.dag, seen.task, seen.map_index)
    }

    fn after(&self, at: DateTime<Utc>) -> String {
        span(at - self.story.began)
    }

    fn times(&self, seen: &Seen) -> String {
        let text = |what: &str, at: Option<DateTime<Utc>>| {
            at.map_or_else(|| format!("never {what}"), |at| format!("{what} after {}", self.after(at)))
        };
        format!("{}, {}", text("began", seen.started), text("ended", seen.ended))
    }

    fn first_failure(&self) -> String {
        let failed = self.story.instances.iter().find(|seen| seen.state == crate::TaskState::Failed);
        failed.map_or_else(String::new, |seen| format!(" ({} failed: {})", self.name(seen), seen.reason))
    }

    fn task(&mut self, place: Place, selector: &Selector, wanted: &ExpectTask) {
        let found = self.of(selector);
        if found.is_empty() {
            self.miss(place, format!("{selector}: there is no such instance"));
            return;
        }
        if let Some(count) = wanted.instances.filter(|count| *count != found.len()) {
            self.miss(place, format!("{selector}: expected {count} instances, were {}", found.len()));
        }
        for seen in found {
            let name = self.name(seen);
            let why = if seen.reason.is_empty() { String::new() } else { format!(" ({})", seen.reason) };
            if let Some(state) = wanted.state.filter(|state| *state != seen.state) {
                self.miss(place, format!("{name}: expected {state}, was {}{why}", seen.state));
            } else if let Some(part) = wanted.reason.as_ref().filter(|part| !seen.reason.contains(*part)) {
                self.miss(
                    place,
                    format!("{name}: expected the reason to say '{part}', was '{}'", seen.reason),
                );
            }
            if let Some(tries) = wanted.tries.filter(|tries| *tries != seen.tries) {
                self.miss(place, format!("{name}: expected {tries} tries, were {}{why}", seen.tries));
            }
        }
    }

    fn order(&mut self, first: &Selector, (place, second): &(Place, Selector)) {
        let (before, after) = (self.of(first), self.of(second));
        let is_service = |seen: &Seen| self.dag.tasks[seen.task].service.is_some();
        let done = |seen: &&Seen| if is_service(seen) { seen.ready } else { seen.ended };
        let ended: Option<Vec<_>> = before.iter().map(done).collect();
        let began = after.iter().filter_map(|seen| seen.started).min();
        let fits = match (ended.as_ref().and_then(|ended| ended.iter().max()), began) {
            (Some(ended), Some(began)) => *ended <= began,
            _ => false,
        };
        if !fits {
            let times = |all: &[&Seen]| {
                let one = |seen: &&Seen| format!("{} {}", self.name(seen), self.times(seen));
                all.iter().map(one).collect::<Vec<_>>().join("; ")
            };
            let message = format!("expected {second} after {first}: {}; {}", times(&before), times(&after));
            self.miss(*place, message);
        }
    }

    fn rendered(&mut self, place: Place, selector: &Selector, wanted: &Value) {
        for seen in self.of(selector) {
            let name = self.name(seen);
            match &seen.rendered {
                None => self.miss(place, format!("{name}: was never rendered: {}", seen.reason)),
                Some(rendered) => {
                    let mut differences = Vec::new();
                    compare(&name, wanted, rendered, &mut differences);
                    differences.into_iter().for_each(|message| self.miss(place, message));
                }
            }
        }
    }
}

/// Of objects only what is named is compared.
fn compare(path: &str, wanted: &Value, given: &Value, differences: &mut Vec<String>) {
    match (wanted, given) {
        (Value::Object(wanted), Value::Object(given)) => {
            for (key, wanted) in wanted {
                let path = format!("{path}.{key}");
                match given.get(key) {
                    Some(given) => compare(&path, wanted, given, differences),
                    None => differences.push(format!("{path}: expected {wanted}, is missing")),
                }
            }
        }
        _ if wanted == given => {}
        _ => differences.push(format!("{path}: expected {wanted}, was {given}")),
    }
}
