{{ config(materialized='incremental', incremental_strategy='merge', unique_key='dateKey') }}
-- Every hour from the first loaded day to well after the last: it grows with the data and never ends before it.
with loaded as (
    select min(hour) as firstHour, max(hour) as lastHour from {{ source('streamify', '_loads') }}
),
hours as (
    select hour as date
    from {{ dbt.hour_spine(
        '(select ' ~ dbt.date_trunc('day', 'firstHour') ~ ' from loaded)',
        '(select ' ~ dbt.dateadd('day', var('calendar_horizon_days'), dbt.date_trunc('day', 'lastHour')) ~ ' from loaded)'
    ) }} as spine
)
select
    {{ dbt.epoch_seconds('date') }} as dateKey,
    date,
    {{ dbt.day_of_week('date') }} as dayOfWeek,
    extract(day from date) as dayOfMonth,
    {{ dbt.week_of_year('date') }} as weekOfYear,
    extract(month from date) as month,
    extract(year from date) as year,
    extract(hour from date) as hourOfDay,
    {{ dbt.day_of_week('date') }} in (1, 7) as weekendFlag
from hours
