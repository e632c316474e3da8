//! Rules of the simulation as a whole: determinism, rates, the records' fields, and Eventsim's defects that must not come back.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::event::{Event, Topic};
use crate::input::{Inputs, hex};
use crate::model::{Model, seconds};
use crate::options::Options;
use crate::plan::Plan;
use crate::simulate::Simulation;

const DAY: u32 = 86_400;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn options(users: u32) -> Options {
    Options {
        users: Some(users),
        seed: Some(42),
        from: Some(at("2026-11-16T00:00:00Z")),
        ..Options::default()
    }
}

fn model(options: &Options) -> Arc<Model> {
    block_on(async {
        let inputs = Inputs::load(&options.sources()).await.unwrap();
        let plan = Plan::new(options, &inputs, None, at("2026-11-22T12:00:00Z")).unwrap();
        Arc::new(Model::new(&plan, inputs).unwrap())
    })
}

/// All events of so many days.
fn events(model: &Arc<Model>, days: u32) -> Vec<Event> {
    let end = model.from + days * DAY;
    Simulation::new(Arc::clone(model)).take_while(|event| event.at < end).collect()
}

fn record(model: &Model, topic: Topic, event: &Event) -> Value {
    let mut json = Vec::new();
    model.write(topic, event, &mut json);
    serde_json::from_slice(&json)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&json)))
}

fn digest(options: &Options, days: u32) -> String {
    let model = model(options);
    let (mut hash, mut bytes) = (Sha256::new(), Vec::new());
    for event in events(&model, days) {
        for topic in model.topics(&event) {
            bytes.clear();
            model.write_key(&event, &mut bytes);
            model.write(topic, &event, &mut bytes);
            hash.update(&bytes);
        }
    }
    hex(&hash.finalize())
}

/// Writes a changed copy of the built-in configuration.
fn config(folder: &Path, changes: &[(&str, &str)]) -> PathBuf {
    let mut text = crate::config::embedded().0.to_owned();
    for (from, to) in changes {
        assert!(text.contains(from), "{from}");
        text = text.replacen(from, to, 1);
    }
    let path = folder.join("config.json");
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn the_same_plan_gives_the_same_bytes() {
    let first = digest(&options(300), 3);
    assert_eq!(first, digest(&options(300), 3));
    assert_ne!(first, digest(&Options { seed: Some(43), ..options(300) }, 3));
    assert_ne!(first, digest(&Options { growth: Some(0.5), ..options(300) }, 3));
    // When this changes, topics written before cannot be continued: raise the plan's VERSION, then mend this line.
    assert_eq!(first, "2a5f1f037930c798d9bb44f6aa2684c75a25bd9592ba9fee034e3b34b3c8e0c0");
}

#[test]
fn events_come_in_order_within_the_history() {
    let model = model(&options(2_000));
    let events = events(&model, 2);
    assert!(events.len() > 5_000, "{}", events.len());
    assert!(events.is_sorted_by_key(|event| (event.at, event.user)));
    assert!(events[0].at >= model.from && events[0].at < model.from + 900, "the history begins at once");
}

#[test]
fn rates_are_those_of_eventsim() {
    let model = model(&options(4_000));
    let events = events(&model, 7);
    let rate = events.len() as f64 / 4_000.0 / 7.0;
    assert!((2.0..3.0).contains(&rate), "seed 42: {rate} page views a user and day");
    let mut pages: HashMap<&str, f64> = HashMap::new();
    for event in &events {
        *pages.entry(&model.chain.node(event.state).state.page).or_default() += 100.0 / events.len() as f64;
    }
    for (page, percent, tolerance) in
        [("NextSong", 83.0, 2.5), ("Home", 11.0, 2.0), ("Login", 1.6, 0.5), ("Logout", 1.1, 0.4)]
    {
        assert!((pages[page] - percent).abs() < tolerance, "seed 42: {page} is {} % of all", pages[page]);
    }
}

#[test]
fn default_users_make_100_000_page_views_on_the_quietest_day() {
    // The Sunday of a long weekend, when damping does not let go all day.
    let model = model(&Options { from: Some(at("2026-09-06T00:00:00Z")), ..Options::default() });
    let count = events(&model, 1).len();
    assert!(count >= 100_000, "a Sunday has {count} page views");
}

#[test]
fn records_have_eventsims_fields_in_its_order_and_types() {
    let model = model(&Options { tag: Some("control".to_owned()), ..options(6_000) });
    let device = ["zip", "city", "state", "lat", "lon", "userAgent"];
    let user = ["userId", "lastName", "firstName", "gender", "registration", "tag"];
    let mut seen = BTreeSet::new();
    for event in events(&model, 10) {
        let node = model.chain.node(event.state);
        let user: &[&str] = if node.shows_user { &user } else { &[] };
        let song: &[&str] = if node.plays_song { &["artist", "song", "duration"] } else { &[] };
        for topic in model.topics(&event) {
            let parts: [&[&str]; 5] = match topic {
                Topic::PageViewEvents => [
                    &["ts", "sessionId", "page", "auth", "method", "status", "level", "itemInSession"],
                    &device,
                    user,
                    song,
                    &[],
                ],
                Topic::ListenEvents => {
                    [song, &["ts", "sessionId", "auth", "level", "itemInSession"], &device, user, &[]]
                }
                Topic::StatusChangeEvents => {
                    [&["ts", "sessionId", "auth", "level", "itemInSession"], &device, user, &[], &[]]
                }
                Topic::AuthEvents => {
                    [&["ts", "sessionId", "level", "itemInSession"], &device, user, &["success"], &[]]
                }
            };
            let record = record(&model, topic, &event);
            let record = record.as_object().unwrap();
            let fields: Vec<&str> = record.keys().map(String::as_str).collect();
            assert_eq!(fields, parts.concat(), "{topic:?}");
            for (field, value) in record {
                let right = match field.as_str() {
                    "ts" | "registration" => {
                        value.as_u64().is_some_and(|ms| ms % 1_000 == 0 && ms > 1_000_000_000_000)
                    }
                    "sessionId" | "userId" | "itemInSession" | "status" => value.is_u64(),
                    "lat" | "lon" | "duration" => value.is_f64(),
                    "success" => value.is_boolean(),
                    "state" => value.as_str().is_some_and(|state| state.len() == 2),
                    _ => value.is_string(),
                };
                assert!(right, "{topic:?}: {field} is {value}");
            }
            seen.insert((topic, node.shows_user));
        }
    }
    let expected = [
        (Topic::ListenEvents, true),
        (Topic::PageViewEvents, true),
        (Topic::PageViewEvents, false),
        (Topic::AuthEvents, true),
        (Topic::AuthEvents, false),
        (Topic::StatusChangeEvents, true),
    ];
    assert!(expected.iter().all(|kind| seen.contains(kind)), "seed 42 shows all kinds: {seen:?}");
}

#[test]
fn a_level_change_is_told_with_the_level_before_it() {
    let model = model(&options(6_000));
    for event in events(&model, 10) {
        let state = &model.chain.node(event.state).state;
        if model.topics(&event).any(|topic| topic == Topic::StatusChangeEvents) {
            let expected = if state.page == "Submit Upgrade" { "free" } else { "paid" };
            assert_eq!(record(&model, Topic::StatusChangeEvents, &event)["level"], expected);
        }
    }
}

#[test]
fn keys_are_the_user_or_else_the_session() {
    let model = model(&options(3_000));
    for event in events(&model, 2) {
        let mut key = Vec::new();
        model.write_key(&event, &mut key);
        let view = record(&model, Topic::PageViewEvents, &event);
        let expected = view.get("userId").unwrap_or(&view["sessionId"]).to_string();
        assert_eq!(String::from_utf8(key).unwrap(), expected);
    }
}

#[test]
fn new_users_join_at_the_growth_rate_and_register_when_they_come() {
    let growing = Options { growth: Some(3.0), ..options(2_000) };
    let model = model(&growing);
    let mut first: BTreeMap<u32, Event> = BTreeMap::new();
    for event in events(&model, 60) {
        first.entry(event.user).or_insert(event);
    }
    let newcomers = first.range(2_000..).count() as f64;
    let expected = 2_000.0 * ((3.0f64 * 60.0 / 365.0).exp() - 1.0);
    assert!((newcomers / expected - 1.0).abs() < 0.1, "seed 42: {newcomers} newcomers, expected {expected}");
    for event in first.range(2_000..).map(|(_, event)| event) {
        assert_eq!(event.at, event.profile.registration);
    }
}

#[test]
fn defect_1_dates_in_the_configuration_count() {
    let folder = tempfile::tempdir().unwrap();
    let dates = r#"{ "start-date": "2026-03-01", "end-date": "2026-03-02T06:00:00","#;
    let options = Options {
        config: Some(config(folder.path(), &[("{", dates)])),
        users: Some(500),
        ..Options::default()
    };
    let out = folder.path().join("out");
    let run = crate::write_files(&options, &out, at("2026-11-22T12:00:00Z"), Default::default());
    let report = block_on(run).unwrap();
    assert_eq!(report.plan.from, at("2026-03-01T00:00:00Z"));
    let text = std::fs::read_to_string(out.join("page_view_events.json")).unwrap();
    let times: Vec<i64> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["ts"].as_i64().unwrap())
        .collect();
    assert_eq!(times.len() as u64, report.progress.page_views);
    let of_topics: u64 = report.progress.topics.values().map(|topic| topic.sent).sum();
    assert_eq!(report.progress.events, of_topics, "the events of all topics");
    assert!(of_topics > report.progress.page_views);
    let (start, end) =
        (at("2026-03-01T00:00:00Z").timestamp_millis(), at("2026-03-02T06:00:00Z").timestamp_millis());
    assert!(times.len() > 500 && times.iter().all(|time| (start..end).contains(time)));
    assert!(*times.last().unwrap() > end - 3_600_000, "the last hour has events");
}

#[test]
fn defect_2_attrition_is_a_rate_a_year() {
    let last_month = |attrition| {
        let model = model(&Options { attrition: Some(attrition), ..options(1_200) });
        events(&model, 365).iter().filter(|event| event.at >= model.from + 335 * DAY).count() as f64
    };
    let kept = last_month(0.7) / last_month(0.0);
    let expected = (-0.7f64 * 350.0 / 365.0).exp();
    assert!(
        (kept - expected).abs() < 0.12,
        "seed 42: {kept} of the events are left after a year, expected {expected}"
    );
}

#[test]
fn defect_3_a_login_is_told_once() {
    let model = model(&options(8_000));
    let mut last_page: HashMap<u64, String> = HashMap::new();
    let (mut told, mut followed) = (0, 0);
    for event in events(&model, 10) {
        let state = &model.chain.node(event.state).state;
        let after_login = event.item > 0 && last_page.get(&event.session).is_some_and(|page| page == "Login");
        let auth = model.topics(&event).any(|topic| topic == Topic::AuthEvents);
        told += u32::from(auth);
        followed += u32::from(after_login);
        assert_eq!(auth, after_login || (auth && !last_page.contains_key(&event.session)), "{event:?}");
        last_page.insert(event.session, state.page.clone());
    }
    assert!(told > 500, "seed 42: {told}");
    assert!(
        told - followed <= 2,
        "only sessions under way when the history began have no event before: {told}, {followed}"
    );
}

#[test]
fn defect_4_the_first_user_has_the_first_user_id() {
    let model = model(&Options { first_user_id: Some(5_000), ..options(200) });
    let ids: BTreeSet<u64> = events(&model, 40)
        .iter()
        .filter_map(|event| record(&model, Topic::PageViewEvents, event)["userId"].as_u64())
        .collect();
    assert_eq!((ids.first(), ids.last()), (Some(&5_000), Some(&5_199)));
}

#[test]
fn defect_6_a_world_that_everybody_left_ends_in_peace() {
    let model = model(&Options { attrition: Some(900.0), ..options(50) });
    let mut simulation = Simulation::new(model);
    let events = simulation.by_ref().count();
    assert!(events > 0, "seed 42: some were still there at the beginning");
    assert_eq!(simulation.peek(), None);
    assert!(simulation.next().is_none());
}

#[test]
fn defect_7_users_do_not_disturb_each_other() {
    let life = |users: u32| -> Vec<(u32, u32, u32, u16, u32)> {
        let model = model(&options(users));
        let all = events(&model, 30);
        all.iter().filter(|event| event.user < 100).map(|e| (e.user, e.at, e.item, e.state, e.song)).collect()
    };
    let few = life(100);
    assert!(few.len() > 3_000, "seed 42: {}", few.len());
    assert_eq!(few, life(2_000), "a hundred users live the same among two thousand");
}

#[test]
fn defect_8_many_users_start_at_once_and_stay_small() {
    let model = model(&options(200_000));
    let mut simulation = Simulation::new(Arc::clone(&model));
    let first = simulation.next().unwrap();
    assert!(first.at <= model.from + 1, "the first event is at the beginning, not days later");
    assert!(simulation.bytes() < 200_000 * 90, "{} bytes", simulation.bytes());
}

/// The folder of real data beside the repository, if it is there.
fn real_data(file: &str) -> Option<String> {
    let folder = std::env::var("STREAMIFY_DATA")
        .unwrap_or_else(|_| format!("{}/../../../shared/data", env!("CARGO_MANIFEST_DIR")));
    let path = format!("{folder}/{file}");
    if Path::new(&path).exists() {
        return Some(path);
    }
    testkit::skip(&format!("no {path}"), "set STREAMIFY_DATA to the folder that holds it");
    None
}

#[test]
fn the_million_song_subset_and_eventsims_counts_are_read_as_they_are() {
    let (Some(songs), Some(counts)) = (real_data("songs.csv"), real_data("eventsim/listen_counts.txt.gz"))
    else {
        return;
    };
    let model = model(&Options { songs: Some(songs), listen_counts: Some(counts), ..options(3_000) });
    let mut plays: HashMap<u32, u32> = HashMap::new();
    let (mut seconds, mut listens) = (0.0, 0u32);
    for event in events(&model, 7) {
        if model.chain.node(event.state).plays_song {
            *plays.entry(event.song).or_default() += 1;
            seconds += record(&model, Topic::ListenEvents, &event)["duration"].as_f64().unwrap();
            listens += 1;
        }
    }
    assert!(
        (seconds / f64::from(listens) - 238.0).abs() < 15.0,
        "mean duration {}",
        seconds / f64::from(listens)
    );
    let mut order: Vec<u32> = plays.into_values().collect();
    order.sort_unstable_by(|a, b| b.cmp(a));
    let top = f64::from(order[..10].iter().sum::<u32>()) / f64::from(listens);
    assert!(
        (0.012..0.03).contains(&top),
        "the ten most played songs have {top} of all plays, about 2 % by their counts"
    );
}

#[test]
fn eventsims_own_configurations_are_read_as_they_are() {
    for file in ["eventsim/example-config.json", "eventsim/alt-example-config.json"] {
        let Some(path) = real_data(file) else { continue };
        let model = model(&Options { config: Some(path.into()), ..options(300) });
        assert_eq!(model.chain.nodes.len(), 40);
        assert!(events(&model, 2).len() > 300);
    }
}

#[test]
fn plan_conflicts_name_both_values_and_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let asked = options(10);
    let stored = block_on(async {
        let inputs = Inputs::load(&asked.sources()).await.unwrap();
        Plan::new(&asked, &inputs, None, at("2026-11-22T12:00:00Z")).unwrap()
    });
    let agree = |options: &Options| {
        block_on(async {
            let inputs = Inputs::load(&stored.sources(options)).await.unwrap();
            stored.agree(options, &inputs, "generator_plan").map_err(|error| error.to_string())
        })
    };
    assert_eq!(agree(&Options::default()), Ok(()), "nothing asked for: the plan is continued");
    assert_eq!(agree(&asked), Ok(()));
    let message = agree(&Options { seed: Some(7), users: Some(11), ..Options::default() }).unwrap_err();
    assert!(message.contains("seed is 42 in the plan, but --seed 7 was given"), "{message}");
    assert!(message.contains("users is 10 in the plan, but --users 11 was given"), "{message}");
    assert!(message.contains("`streamify up --fresh`") && message.contains("--topic-prefix"), "{message}");
    let other = config(folder.path(), &[("\"alpha\": 90.0", "\"alpha\": 91.0")]);
    let message = agree(&Options { config: Some(other), ..Options::default() }).unwrap_err();
    assert!(message.contains("config: the plan was made with the built-in one (sha256 "), "{message}");
}

#[test]
fn options_out_of_bounds_are_all_named() {
    let bad = Options {
        users: Some(0),
        partitions: Some(0),
        from: Some(at("1969-01-01T00:00:00Z")),
        ..Options::default()
    };
    let message = block_on(async {
        let inputs = Inputs::load(&bad.sources()).await.unwrap();
        Plan::new(&bad, &inputs, None, at("2026-11-22T12:00:00Z")).unwrap_err().to_string()
    });
    for part in ["--users is 0", "--partitions is 0", "--from is 1969"] {
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn counts_are_those_of_the_records() {
    let options = options(500);
    let until = at("2026-11-17T06:30:00Z");
    let counts = block_on(crate::count(&options, until)).unwrap();
    let model = model(&options);
    let end = seconds(until);
    for topic in Topic::ALL {
        let made = Simulation::new(Arc::clone(&model))
            .take_while(|event| event.at < end)
            .filter(|event| model.topics(event).any(|found| found == topic))
            .count() as u64;
        assert_eq!(counts.total(topic), made, "{topic:?}");
    }
    assert!(counts.topics[&Topic::PageViewEvents].keys().all(|hour| hour.timestamp() % 3_600 == 0));
    let message = block_on(crate::count(&Options::default(), until)).unwrap_err().to_string();
    assert!(message.contains("give --from"), "{message}");
}
