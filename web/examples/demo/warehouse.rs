//! Four days of made-up listening up to now, in the columns that the pipeline's panels read.

use std::sync::Arc;
use warehouse::{Statement, Value, Warehouse};

const TABLES: [&str; 6] = [
    "create schema prod",
    "create schema staging",
    "create table prod.wide_streams as
     with listens as (
        select i, date_trunc('hour', cast($1 as timestamp)) - interval (cast(floor(96 * pow(hash(i) % 10007 / 10007.0, 1.25)) as bigint)) hour as hour,
            cast(floor(900 * pow(hash(i + 7) % 9973 / 9973.0, 1.4)) as bigint) + 1 as userId,
            cast(floor(120 * pow(hash(i + 3) % 9967 / 9967.0, 2.2)) as bigint) as song,
            ['CA', 'TX', 'NY', 'FL', 'IL', 'PA', 'OH', 'GA', 'MI', 'NC', 'NJ', 'VA', 'WA', 'AZ', 'MA', 'TN', 'IN', 'MO', 'MD', 'WI', 'CO', 'MN',
             'SC', 'AL', 'LA', 'KY', 'OR', 'OK', 'CT', 'UT', 'IA', 'NV', 'AR', 'MS', 'KS', 'NM', 'NE', 'WV', 'ID', 'HI', 'NH', 'ME', 'MT', 'RI',
             'DE', 'SD', 'ND', 'AK', 'DC', 'VT', 'WY'] as states
        from range(60000) as r (i)
     )
     select hour, userId, userId * 10 + hash(i) % 4 as sessionId, case when userId % 13 < 7 then 'M' else 'F' end as gender,
        case when userId % 4 = 0 then 'free' else 'paid' end as level, 'Song number ' || song as songName,
        'The Artist ' || (song % 41) as artistName, states[1 + cast(floor(51 * pow(userId / 902.0, 1.8)) as bigint)] as stateCode,
        states[1 + cast(floor(51 * pow(userId / 902.0, 1.8)) as bigint)] as stateName, 180.0 + song as duration
     from listens
     where hash(i + 11) % 24 < 8 + abs(12 - extract(hour from hour)) or hash(i + 5) % 3 = 0",
    "create table prod.agg_hourly as select hour, stateCode, stateName, level, gender, count(*) as streams,
        count(distinct userId) as users, count(distinct sessionId) as sessions, sum(duration) as listenSeconds
     from prod.wide_streams group by all",
    "create table prod.fact_page_views as select hour, sessionId, stateCode,
        unnest(case when userId % 9 = 0 then ['Home', 'NextSong', 'Upgrade', 'Submit Upgrade', 'Register', 'Submit Registration']
            when userId % 3 = 0 then ['Home', 'NextSong', 'Upgrade', 'Register'] else ['Home', 'NextSong'] end) as page
     from prod.wide_streams",
    "create table prod.fact_auth as select hour, hash(sessionId) % 30 <> 0 as success, stateCode from prod.wide_streams",
];

const LOADS: &str = "create table staging._loads as
    select 'listen_events' as topic, hour, count(*) as rows, 3 as files, cast($1 as timestamp) as loaded_at from prod.wide_streams group by hour";

pub async fn demo(now: chrono::DateTime<chrono::Utc>) -> Result<Arc<dyn Warehouse>, warehouse::Error> {
    let warehouse = warehouse::open("duckdb::memory:")?;
    let bound = |sql: &'static str| {
        let params = if sql.contains("$1") { vec![Value::Time(now)] } else { Vec::new() };
        Statement::with(sql, params)
    };
    let statements: Vec<Statement> = TABLES.into_iter().chain([LOADS]).map(bound).collect();
    warehouse.transaction(&statements).await?;
    Ok(warehouse)
}
