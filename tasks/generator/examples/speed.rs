//! Events a second, one thread, in Eventsim's own published case: 5,000 users, 92 days, JSON into files.
//! `cargo run --release -p generator --example speed -- <empty folder> [users] [days]`

use std::path::PathBuf;
use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};
use generator::{Options, count, write_files};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder: PathBuf = arguments.next().ok_or("give an empty folder to write to")?.into();
    let users: u32 = arguments.next().map_or(Ok(5_000), |users| users.parse())?;
    let days: i64 = arguments.next().map_or(Ok(92), |days| days.parse())?;
    let from: DateTime<Utc> = "2026-01-01T00:00:00Z".parse()?;
    let to = from + TimeDelta::days(days);
    let options = Options { users: Some(users), from: Some(from), to: Some(to), ..Options::default() };

    let start = Instant::now();
    let first = count(&options, from + TimeDelta::seconds(1)).await?;
    println!("start with {users} users: {:.3} s ({:?})", start.elapsed().as_secs_f64(), first.until);

    let start = Instant::now();
    let counts = count(&options, to).await?;
    let views = counts.total(generator::Topic::PageViewEvents) as f64;
    println!("without JSON: {views} events, {:.0} events/s", views / start.elapsed().as_secs_f64());

    let start = Instant::now();
    let report = write_files(&options, &folder, to, Default::default()).await?;
    let records: u64 = report.progress.topics.values().map(|topic| topic.sent).sum();
    let seconds = start.elapsed().as_secs_f64();
    println!("JSON to files: {:.0} events/s, {:.0} records/s", views / seconds, records as f64 / seconds);
    Ok(())
}
