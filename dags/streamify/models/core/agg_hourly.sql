{{ config(materialized='incremental', incremental_strategy='microbatch', event_time='hour', batch_size='hour') }}
-- What the dashboard's charts read: activity by hour, state, level and gender.
select
    hour,
    stateCode,
    stateName,
    level,
    gender,
    count(*) as streams,
    count(distinct userId) as users,
    count(distinct sessionId) as sessions,
    sum(case when duration > 0 then duration else 0 end) as listenSeconds
from {{ ref('wide_streams') }}
group by hour, stateCode, stateName, level, gender
