{{ config(materialized='incremental', incremental_strategy='microbatch', event_time='hour', batch_size='hour') }}
-- The compact history of levels: a user's first event in an hour, and each change of level within it.
-- Of several events in the same second the last one written counts.
with events as (
    select
        hour, userId, level, firstName, lastName, gender, registration, ts,
        row_number() over (partition by userId, ts order by _topic_partition desc, _topic_offset desc) as recency
    from {{ source('streamify', 'listen_events') }}
    where userId <> 0
),
steps as (
    select *, lag(level) over (partition by hour, userId order by ts) as previousLevel
    from events
    where recency = 1
)
select
    hour,
    userId,
    {{ dbt.timestamp_from_millis('ts') }} as changedAt,
    level,
    firstName,
    lastName,
    gender,
    registration
from steps
where previousLevel is null or previousLevel <> level
