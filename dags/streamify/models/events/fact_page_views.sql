{{ config(materialized='incremental', incremental_strategy='microbatch', event_time='hour', batch_size='hour') }}
-- Exactly one row for each page view.
select
    {{ dbt.epoch_seconds('hour') }} as dateKey,
    {{ dbt.timestamp_from_millis('ts') }} as timestamp,
    hour,
    userId,
    sessionId,
    page,
    auth,
    method,
    status,
    level,
    itemInSession,
    city,
    state as stateCode,
    zip,
    userAgent,
    artist,
    song,
    duration,
    _topic_partition as topicPartition,
    _topic_offset as topicOffset
from {{ source('streamify', 'page_view_events') }}
