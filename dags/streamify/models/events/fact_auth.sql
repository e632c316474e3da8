{{ config(materialized='incremental', incremental_strategy='microbatch', event_time='hour', batch_size='hour') }}
-- Exactly one row for each attempt to log in.
select
    {{ dbt.epoch_seconds('hour') }} as dateKey,
    {{ dbt.timestamp_from_millis('ts') }} as timestamp,
    hour,
    userId,
    sessionId,
    level,
    itemInSession,
    success,
    city,
    state as stateCode,
    zip,
    userAgent,
    _topic_partition as topicPartition,
    _topic_offset as topicOffset
from {{ source('streamify', 'auth_events') }}
