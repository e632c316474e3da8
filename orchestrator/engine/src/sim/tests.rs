//! Thousands of seeds, and the proof that the rules find bugs.

use super::events::Counts;
use super::scenario::{Told, play};
use super::store::Plant;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Instant;

const THREADS: usize = 2;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

fn shown(seed: u64, told: &Told) -> String {
    let Told { story, events, executions, runs, .. } = told;
    let rule = told.broken.as_deref().unwrap_or("no rule is broken");
    format!(
        "{story}\nseed {seed}: {rule}\n({runs} runs, {executions} executions, {events} events)\n\
         again: SIM_SEED={seed} cargo test -p engine --lib ten_thousand_seeds -- --nocapture"
    )
}

/// The first of these seeds that breaks a rule.
fn first_broken(seeds: std::ops::Range<u64>, plant: Option<Plant>) -> Option<(u64, Told)> {
    let next = AtomicU64::new(seeds.start);
    let stop = AtomicBool::new(false);
    let search = || {
        loop {
            let seed = next.fetch_add(1, Relaxed);
            if seed >= seeds.end || stop.load(Relaxed) {
                return None;
            }
            let told = play(seed, plant);
            if told.broken.is_some() {
                stop.store(true, Relaxed);
                return Some((seed, told));
            }
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(search)).collect();
        let found = threads.into_iter().filter_map(|thread| thread.join().expect("no simulation panics"));
        found.min_by_key(|(seed, _)| *seed)
    })
}

#[test]
fn ten_thousand_seeds_keep_every_invariant() {
    if let Some(seed) = number("SIM_SEED") {
        let told = play(seed, None);
        println!("{}", shown(seed, &told));
        assert!(told.broken.is_none());
        return;
    }
    let first = number("SIM_FIRST").unwrap_or(1);
    let count = number("SIM_SEEDS").unwrap_or(10_000);
    let began = Instant::now();
    if let Some((seed, told)) = first_broken(first..first + count, None) {
        panic!("{}", shown(seed, &told));
    }
    println!("{count} seeds from {first}: no rule is broken, {:?}", began.elapsed());
}

#[test]
fn a_seed_is_the_same_story_each_time() {
    for seed in 1..=20 {
        let (one, two) = (play(seed, None), play(seed, None));
        assert!(one.events > 100, "seed {seed} tells nothing");
        assert_eq!(
            (one.hash, one.events, one.executions),
            (two.hash, two.events, two.executions),
            "seed {seed}"
        );
    }
}

/// Rules over a world in which nothing happens would prove nothing.
#[test]
fn the_seeds_reach_all_kinds_of_trouble() {
    let mut counts = Counts::new();
    for seed in 1..=300 {
        for (what, count) in play(seed, None).counts {
            *counts.entry(what).or_default() += count;
        }
    }
    let wanted = [
        "crashes",
        "is asked to leave",
        "left",
        "freezes",
        "thaws",
        "is cut off",
        "is deaf",
        "is slow",
        "loses calls",
        "sets its clock",
        "request lost",
        "reply lost",
        "stale end",
        "orphan given back",
        "end lost",
        "clear",
        "cancel",
        "pause",
        "done",
        "skipped",
        "poke",
        "failed",
        "failed_for_good",
        "timed_out",
        "cancelled",
        "lost",
        "run succeeded",
        "run failed",
        "run cancelled",
        "run retried",
        "group retried",
        "expanded",
        "tick skipped",
        "mark ready",
        "tell asset",
        "run by assets",
        "run of a backfill",
        "backfill completed",
        "backfill cancelled",
        "pause backfill",
        "ask",
        "approved",
        "rejected",
        "deadline missed",
        "failure told",
        "notice sent",
    ];
    println!("{counts:#?}");
    let missing: Vec<&str> =
        wanted.into_iter().filter(|what| counts.get(what).copied().unwrap_or_default() < 10).collect();
    assert!(missing.is_empty(), "hardly ever seen: {missing:?}");
}

#[test]
fn each_planted_bug_is_found() {
    let plants = [
        Plant::FinishIgnoresTheLease,
        Plant::ClaimIgnoresTheState,
        Plant::ReaperIsEarly,
        Plant::TicksAreRecordedTwice,
        Plant::PromotionIgnoresTheLimit,
        Plant::LostAttemptsStay,
        Plant::OneRetryTooMany,
        Plant::EndsTwice,
        Plant::RetriesAreNotDue,
        Plant::UrgencyIsUpsideDown,
        Plant::ItemsAreNotSieved,
        Plant::AssetEventsAreTakenFirst,
        Plant::AssetEventsStay,
        Plant::AssetEventsComeLate,
        Plant::BackfillsSeeNoRuns,
        Plant::TicksRunWhatIsFilledIn,
        Plant::BackfillsHaveNoBudget,
        Plant::PausedBackfillsStart,
        Plant::ApprovalsAreDecidedAgain,
        Plant::ApprovalsDoNotWake,
        Plant::QuestionsOutliveAClear,
        Plant::PastIsForgotten,
        Plant::NextRunsSleep,
        Plant::DeadlinesAreToldAgain,
        Plant::DeadlinesAreAlwaysKept,
    ];
    for plant in plants {
        let found = first_broken(1..3_001, Some(plant));
        let (seed, told) = found.unwrap_or_else(|| panic!("{plant:?} is not found within 3,000 seeds"));
        println!("{plant:?}: seed {seed}: {}", told.broken.unwrap_or_default());
    }
}
