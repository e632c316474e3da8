{{ config(materialized='incremental', incremental_strategy='microbatch', event_time='hour', batch_size='hour') }}
-- fact_streams with its dimensions at hand, for dashboards: exactly as many rows.
select
    facts.userKey,
    facts.artistKey,
    facts.songKey,
    facts.dateKey,
    facts.locationKey,
    facts.timestamp,
    facts.hour,
    facts.userId,
    facts.sessionId,
    users.firstName,
    users.lastName,
    users.gender,
    facts.level,
    facts.duration,
    songs.title as songName,
    songs.duration as songDuration,
    songs.tempo,
    artists.artistName,
    artists.latitude as artistLatitude,
    artists.longitude as artistLongitude,
    locations.city,
    locations.stateCode,
    locations.stateName,
    locations.latitude,
    locations.longitude,
    dates.date as dateHour,
    dates.dayOfMonth,
    dates.dayOfWeek,
    dates.weekendFlag,
    facts.topicPartition,
    facts.topicOffset
from {{ ref('fact_streams') }} as facts
left join {{ ref('dim_users') }} as users on users.userKey = facts.userKey
left join {{ ref('dim_songs') }} as songs on songs.songKey = facts.songKey
left join {{ ref('dim_artists') }} as artists on artists.artistKey = facts.artistKey
left join {{ ref('dim_location') }} as locations on locations.locationKey = facts.locationKey
left join {{ ref('dim_datetime') }} as dates on dates.dateKey = facts.dateKey
