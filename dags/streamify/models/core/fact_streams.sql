{{ config(
    materialized='incremental', incremental_strategy='microbatch', event_time='hour', batch_size='hour',
    rebuild_on=['dim_songs', 'dim_artists']
) }}
-- Exactly one row for each listen event. What a dimension does not know leads to its 'NA' row, never to a lost event.
with events as (
    select
        *,
        {{ dbt.timestamp_from_millis('ts') }} as timestamp,
        {{ clean_name('artist') }} as artistName,
        {{ clean_name('song') }} as songName
    from {{ source('streamify', 'listen_events') }}
),
-- Some recordings share artist and title: one of them stands for all.
songs as (
    select artistName, title, min(songKey) as songKey
    from {{ ref('dim_songs') }}
    where songId <> 'NA'
    group by artistName, title
)
select
    coalesce(users.userKey, {{ anonymous_user_key() }}) as userKey,
    coalesce(artists.artistKey, {{ unknown_artist_key() }}) as artistKey,
    coalesce(songs.songKey, {{ unknown_song_key() }}) as songKey,
    {{ dbt.epoch_seconds('events.hour') }} as dateKey,
    {{ location_key('events.city', 'events.state', 'events.zip') }} as locationKey,
    events.timestamp,
    events.hour,
    events.userId,
    events.level,
    events.sessionId,
    events.itemInSession,
    events.duration,
    events._topic_partition as topicPartition,
    events._topic_offset as topicOffset
from events
left join {{ ref('dim_users') }} as users
    on users.userId = events.userId
    and events.timestamp >= users.rowActivationDate and events.timestamp < users.rowExpirationDate
left join {{ ref('dim_artists') }} as artists on artists.artistName = events.artistName
left join songs on songs.artistName = events.artistName and songs.title = events.songName
