//! The streamify project on real DuckDB files: none of the defects of the system that it replaces, and its own rules.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Instant;

use serde_json::json;
use support::{House, Listen, hour, story, window};
use transform::{NodeKind, RunArgs};

const SONGS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/songs.csv");

async fn told(order: &[usize]) -> House {
    let house = House::new().await;
    for n in order {
        house.load(*n as i64, &story()[*n]).await;
        house.run_all(&window(*n as i64)).await;
    }
    // A window never builds what lies after it: hours that an earlier one made due wait for the next later window.
    if order.last() != order.iter().max() {
        house.run_all(&window(*order.iter().max().unwrap() as i64)).await;
    }
    house
}

#[tokio::test]
async fn every_event_has_exactly_one_fact_and_one_wide_row() {
    let house = told(&[0, 1, 2]).await;
    let counts = "select (select count(*) from staging.listen_events), (select count(*) from prod.fact_streams), \
        (select count(*) from prod.wide_streams), (select sum(streams) from prod.agg_hourly), \
        (select count(*) from staging.page_view_events) - (select count(*) from prod.fact_page_views), \
        (select count(*) from staging.auth_events) - (select count(*) from prod.fact_auth), \
        (select count(*) from staging.status_change_events) - (select count(*) from prod.fact_status_changes)";
    assert_eq!(house.rows(counts).await, json!([[11, 11, 11, 11, 0, 0, 0]]));
}

#[tokio::test]
async fn an_artist_name_has_one_key_though_ids_share_and_split_names() {
    let house = told(&[0]).await;
    let artists = "select artistName, artistId, location from prod.dim_artists order by 1";
    let expected = json!([
        ["NA", "NA", "NA"],
        ["Nina", "A1", "Tryon"],
        ["Nina feat. Bo", "A1", "Tryon"],
        ["The Q", "A3", "NA"]
    ]);
    assert_eq!(house.rows(artists).await, expected);
}

#[tokio::test]
async fn a_song_with_twins_is_counted_once_and_an_unknown_one_is_not_lost() {
    let house = House::new().await;
    let mut listens: Vec<Listen> = (0..3).map(|n| Listen::of(n, n, 1, "free")).collect();
    listens[1].song = "Unheard".to_owned();
    (listens[2].artist, listens[2].song) = ("The \"Q\"".to_owned(), "Tall".to_owned());
    house.load(0, &listens).await;
    house.run_models(&window(0)).await;
    let rows = house.rows("select artistName, songName from prod.wide_streams order by topicOffset").await;
    assert_eq!(rows, json!([["Nina", "Blue"], ["Nina", "NA"], ["The Q", "Tall"]]));
}

#[tokio::test]
async fn users_change_level_at_the_second_with_no_gap_no_overlap_and_no_empty_row() {
    let house = told(&[0, 1, 2]).await;
    let sql = "select userId, level, epoch(rowActivationDate - timestamp '2026-11-21')::int, \
        case when currentRow = 1 then -1 else epoch(rowExpirationDate - timestamp '2026-11-21')::int end \
        from prod.dim_users where userId <> 0 order by userId, rowActivationDate";
    let expected = json!([
        [1, "free", 10, 3700],
        [1, "paid", 3700, 7208],
        [1, "free", 7208, -1],
        [2, "free", 20, 3800],
        [2, "paid", 3800, 3830],
        [2, "free", 3830, -1],
        [3, "paid", 3840, -1],
    ]);
    assert_eq!(house.rows(sql).await, expected);
    let anonymous = "select u.level, count(*) from prod.fact_streams f join prod.dim_users u using (userKey) where f.userId = 0 group by 1";
    assert_eq!(house.rows(anonymous).await, json!([["NA", 1]]));
}

#[tokio::test]
async fn two_levels_in_one_second_leave_no_zero_length_row() {
    let house = House::new().await;
    house
        .load(0, &[Listen::of(0, 5, 1, "free"), Listen::of(1, 9, 1, "paid"), Listen::of(2, 9, 1, "free")])
        .await;
    house.run_all(&window(0)).await;
    assert_eq!(
        house.rows("select level, currentRow from prod.dim_users where userId = 1").await,
        json!([["free", 1]])
    );
}

#[tokio::test]
async fn the_district_of_columbia_is_a_state_and_weekends_are_weekends() {
    let house = told(&[0]).await;
    assert_eq!(
        house.rows("select distinct stateName from prod.wide_streams").await,
        json!([["District of Columbia"]])
    );
    let days =
        "select dayname(date), dayOfWeek from prod.dim_datetime where weekendFlag group by all order by 2";
    assert_eq!(house.rows(days).await, json!([["Sunday", 1], ["Saturday", 7]]));
}

#[tokio::test]
async fn the_calendar_grows_with_the_data_and_has_no_hole() {
    let house = House::new().await;
    for n in [0, 24 * 800] {
        house.load(n, &[Listen::of(n, 1, 1, "free")]).await;
        house.run_models(&window(n)).await;
    }
    let sql = "select count(*) = date_diff('hour', min(date), max(date)) + 1, max(date) > timestamp '2029-02-20' from prod.dim_datetime";
    assert_eq!(house.rows(sql).await, json!([[true, true]]));
    assert_eq!(house.one("select count(*) from prod.wide_streams where dateHour is null").await, json!(0));
}

#[tokio::test]
async fn hours_in_any_order_give_the_same_tables() {
    let expected = told(&[0, 1, 2]).await.contents().await;
    for order in [[0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let house = told(&order).await;
        for (table, rows) in house.contents().await {
            assert_eq!(rows, expected[&table], "{table} after {order:?}");
        }
        house.run_all(&RunArgs::default()).await;
    }
}

#[tokio::test]
async fn running_twice_changes_nothing() {
    let house = told(&[0, 1, 2]).await;
    let before = house.contents().await;
    for args in [window(2), window(0), RunArgs::default()] {
        for (id, result) in house.run_models(&args).await {
            assert_eq!((result.rows_affected, result.hours), (0, vec![]), "{id}");
        }
    }
    assert_eq!(house.contents().await, before);
}

#[tokio::test]
async fn a_reloaded_hour_rebuilds_exactly_that_hour() {
    let house = told(&[0, 1, 2]).await;
    let mut changed = story()[1].clone();
    changed.push(Listen::of(11, 500, 3, "paid"));
    house.load(1, &changed).await;
    let results = house.run_all(&window(2)).await;
    for id in [
        "user_levels",
        "dim_users",
        "dim_location",
        "fact_streams",
        "wide_streams",
        "agg_hourly",
        "fact_page_views",
    ] {
        assert_eq!(results[id].hours, [hour(1)], "{id}");
    }
    assert_eq!(results["dim_users"].rows_affected, 0);
    let counts = "select hour, count(*) from prod.wide_streams group by 1 order by 1";
    let expected =
        json!([["2026-11-21T00:00:00Z", 3], ["2026-11-21T01:00:00Z", 6], ["2026-11-21T02:00:00Z", 3]]);
    assert_eq!(house.rows(counts).await, expected);
}

#[tokio::test]
async fn a_reload_that_moves_a_level_change_also_corrects_later_hours() {
    let house = told(&[0, 1, 2]).await;
    // User 1's upgrade is gone from the second hour: the third hour's first event is the change now.
    house.load(1, &[Listen::of(3, 5, 1, "free"), Listen::of(7, 240, 3, "paid")]).await;
    let results = house.run_all(&window(2)).await;
    assert_eq!(results["fact_streams"].hours, [hour(1), hour(2)]);
    let fresh = House::new().await;
    fresh.load(0, &story()[0]).await;
    fresh.load(1, &[Listen::of(3, 5, 1, "free"), Listen::of(7, 240, 3, "paid")]).await;
    fresh.load(2, &story()[2]).await;
    fresh.run_all(&RunArgs::default()).await;
    let (patched, expected) = (house.contents().await, fresh.contents().await);
    for (table, rows) in expected {
        assert_eq!(patched[&table], rows, "{table}");
    }
}

#[tokio::test]
async fn an_hour_that_becomes_empty_leaves_no_rows() {
    let house = told(&[0, 1]).await;
    house.load(1, &[]).await;
    house.run_all(&window(1)).await;
    assert_eq!(house.one("select count(*) from prod.wide_streams").await, json!(3));
    assert_eq!(house.one("select count(*) from prod.dim_users where userId = 3").await, json!(0));
}

#[tokio::test]
async fn a_changed_catalogue_rebuilds_what_was_built_with_the_old_one() {
    let house = House::new().await;
    let mut listen = Listen::of(0, 1, 1, "free");
    listen.song = "New".to_owned();
    house.load(0, &[listen]).await;
    house.run_models(&window(0)).await;
    assert_eq!(house.one("select songName from prod.wide_streams").await, json!("NA"));
    house.warehouse
        .transaction(&[warehouse::Statement::new("insert into staging.songs select * replace ('S9' as song_id, 'New' as title) from staging.songs where song_id = 'S1'")])
        .await
        .unwrap();
    let results = house.run_models(&window(0)).await;
    assert_eq!(results["dim_songs"].rows_affected, 1);
    assert_eq!(house.one("select songName from prod.wide_streams").await, json!("New"));
}

#[tokio::test]
async fn full_refresh_gives_the_same_tables() {
    let house = told(&[0, 2, 1]).await;
    let before = house.contents().await;
    house.run_all(&RunArgs { full_refresh: true, ..RunArgs::default() }).await;
    assert_eq!(house.contents().await, before);
}

#[tokio::test]
async fn a_dropped_table_is_built_again() {
    let house = told(&[0, 1, 2]).await;
    let before = house.contents().await;
    for table in ["fact_streams", "dim_users", "dim_songs", "state_codes"] {
        house
            .warehouse
            .transaction(&[warehouse::Statement::new(format!("drop table prod.{table}"))])
            .await
            .unwrap();
    }
    house.run_all(&window(2)).await;
    assert_eq!(house.contents().await, before);
}

#[tokio::test]
async fn an_hour_costs_the_same_statements_whatever_the_history() {
    let house = House::new().await;
    let mut costs = Vec::new();
    for n in 0..12 {
        house.load(n, &[Listen::of(n, 1, n % 3 + 1, "free")]).await;
        let results = house.run_models(&window(n)).await;
        assert_eq!(results["fact_streams"].hours, [hour(n)]);
        costs.push((
            house.calls.queries.load(Ordering::Relaxed),
            house.calls.statements.load(Ordering::Relaxed),
        ));
    }
    assert_eq!(costs[2], costs[11], "{costs:?}");
    assert!(costs[11].1 <= 110, "{costs:?}");
}

#[tokio::test]
async fn checks_find_what_they_look_for() {
    let house = told(&[0, 1, 2]).await;
    let breaks = [
        ("fact_streams_has_every_listen_event", "delete from prod.fact_streams where topicOffset = 9"),
        ("wide_streams_has_every_stream", "delete from prod.wide_streams where topicOffset <> 9"),
        ("unique_dim_songs_songKey", "insert into prod.dim_songs from prod.dim_songs"),
        ("relationships_fact_streams_artistKey", "delete from prod.dim_artists where artistName = 'Nina'"),
        ("one_current_row_per_user", "update prod.dim_users set currentRow = 1 where userId = 1"),
        (
            "dim_users_has_no_overlap_and_no_gap",
            "update prod.dim_users set rowExpirationDate = rowActivationDate where userId = 2",
        ),
        (
            "no_missing_hours_streamify_listen_events",
            "delete from staging._loads where hour = timestamp '2026-11-21 02:00:00'",
        ),
        ("states_are_known", "update prod.dim_location set stateCode = 'XX'"),
    ];
    for (test, sql) in breaks {
        house.warehouse.transaction(&[warehouse::Statement::new(sql)]).await.unwrap();
        let check = house.run(test, &window(2)).await.check.unwrap();
        assert_eq!(check.status, model::CheckStatus::Fail, "{check:#?}");
        assert!(!check.sample.is_empty(), "{check:#?}");
    }
}

#[tokio::test]
async fn the_real_catalogue_gives_10_001_songs_and_no_fan_out() {
    if !Path::new(SONGS).exists() {
        return testkit::skip("no shared/data/songs.csv beside the repository", "put the catalogue there");
    }
    let house = House::new().await;
    assert_eq!(house.load_songs(Path::new(SONGS)).await, 10_000);
    let from = "(select row_number() over () as o, 1 as s, 1 + hash(song_id) % 500 as u, 'free' as l, artist_name as a, title as t, 'CA' as st from staging.songs)";
    house.load_select(0, from).await;
    house.run_all(&window(0)).await;
    let sql = "select (select count(*) from prod.dim_songs), (select count(distinct songKey) from prod.dim_songs), \
        (select count(*) - count(distinct artistKey) from prod.dim_artists), \
        (select count(*) from prod.fact_streams), (select count(*) from prod.wide_streams), \
        (select count(*) from prod.wide_streams where songName = 'NA')";
    assert_eq!(house.rows(sql).await, json!([[10_001, 10_001, 0, 10_000, 10_000, 1]]));
}

/// Prints what a day of 100,000 events costs; asserts only a generous ceiling, for machines that are busy.
#[tokio::test]
async fn a_day_of_100_000_events_runs_within_minutes() {
    let house = House::new().await;
    if Path::new(SONGS).exists() {
        house.load_songs(Path::new(SONGS)).await;
    }
    let nodes = house.project.nodes().len();
    let songs = house.one("select count(*) from staging.songs").await;
    let (mut total, mut slowest) = (0.0, 0.0_f64);
    let mut by_node: std::collections::BTreeMap<String, f64> = std::collections::BTreeMap::new();
    for n in 0..24 {
        // Offsets, seconds, users, levels and songs of 4,200 events; a fifth of the users pays, another fifth each hour.
        let from = format!(
            "(select {n} * 4200 + r as o, r * 3600 // 4200 as s, u, case when u % 5 = {n} % 5 then 'paid' else 'free' end as l, \
             songs.artist_name as a, songs.title as t, 'CA' as st \
             from (select r, cast(1 + hash(r * 31 + {n}) % 5000 as bigint) as u, cast(hash(r + {n}) % {songs} as bigint) as i \
             from range(4200) as events(r)) as events \
             join (select *, row_number() over () - 1 as i from staging.songs) as songs on songs.i = events.i)"
        );
        house.load_select(n, &from).await;
        let started = Instant::now();
        for (id, result) in house.run_all(&window(n)).await {
            *by_node.entry(id).or_default() += result.seconds;
        }
        let seconds = started.elapsed().as_secs_f64();
        total += seconds;
        slowest = slowest.max(seconds);
    }
    let mut costly: Vec<_> = by_node.into_iter().collect();
    costly.sort_by(|left, right| right.1.total_cmp(&left.1));
    println!(
        "24 runs of {nodes} nodes: {total:.2} s, slowest {slowest:.2} s; costliest {:.3?}",
        &costly[..12]
    );
    assert_eq!(house.one("select count(*) from prod.wide_streams").await, json!(100_800));
    assert!(total < 240.0, "{total} s");
}

#[test]
fn the_project_has_no_problems_and_its_nodes_are_in_order() {
    let project = transform::Project::load(&support::streamify(), "prod").unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for node in project.nodes() {
        assert!(node.depends_on.iter().all(|id| seen.contains(id)), "{} comes before what it needs", node.id);
        seen.insert(node.id.clone());
    }
    assert!(
        project
            .nodes()
            .iter()
            .filter(|node| node.kind == NodeKind::Model)
            .all(|node| !node.description.is_empty())
    );
}
