{{ config(materialized='incremental', incremental_strategy='microbatch', event_time='hour', batch_size='hour') }}
-- Exactly one row for each upgrade or downgrade; events carry the level before it.
select
    {{ dbt.epoch_seconds('hour') }} as dateKey,
    {{ dbt.timestamp_from_millis('ts') }} as timestamp,
    hour,
    userId,
    sessionId,
    auth,
    level as levelBefore,
    case when level = 'paid' then 'free' else 'paid' end as levelAfter,
    itemInSession,
    city,
    state as stateCode,
    zip,
    userAgent,
    _topic_partition as topicPartition,
    _topic_offset as topicOffset
from {{ source('streamify', 'status_change_events') }}
