{#- The users whose rows may change: those seen in the hours that are due, and those whose level changed there before. -#}
{%- set affected -%}
select userId from {{ ref('user_levels') }} where {{ batch_filter('hour') }}
{%- if is_incremental() %}
union select userId from {{ this }} where {{ batch_filter(dbt.date_trunc('hour', 'rowActivationDate')) }}
{%- endif %}
{%- endset -%}

{#- Hours, from the first due one on, in which an affected user now has another row than before. -#}
{%- set moved -%}
select seen.hour
from {{ ref('user_levels') }} as seen
left join {{ this }} as was
    on was.userId = seen.userId and seen.changedAt >= was.rowActivationDate and seen.changedAt < was.rowExpirationDate
left join {{ incoming }} as now
    on now.userId = seen.userId and seen.changedAt >= now.rowActivationDate and seen.changedAt < now.rowExpirationDate
where seen.hour >= {{ batch_start() }} and seen.userId in ({{ affected }}) and was.userKey is distinct from now.userKey
{%- endset -%}

{{ config(
    materialized='incremental',
    incremental_strategy='merge',
    unique_key='userKey',
    event_time='hour',
    replaces='userId in (' ~ affected ~ ')',
    invalidates=moved
) }}
-- One row for each stretch of time in which a user had a level (SCD2), from the second of the change to that of the next.
-- What lies before the first due hour is known from this table; what comes after it from the compact history.
with points as (
    {%- if is_incremental() %}
    select userId, firstName, lastName, gender, level, registration, rowActivationDate as changedAt
    from {{ this }}
    where userId <> 0 and rowActivationDate < {{ batch_start() }} and userId in ({{ affected }})
    union all
    {%- endif %}
    select userId, firstName, lastName, gender, level, registration, changedAt
    from {{ ref('user_levels') }}
    where hour >= {{ batch_start() }} and userId in ({{ affected }})
),
steps as (
    select *, lag(level) over (partition by userId order by changedAt) as previousLevel
    from points
),
stretches as (
    select *, lead(changedAt) over (partition by userId order by changedAt) as nextChange
    from steps
    where previousLevel is null or previousLevel <> level
)
select
    {{ user_key('userId', 'level', 'changedAt') }} as userKey,
    userId,
    firstName,
    lastName,
    gender,
    level,
    registration,
    changedAt as rowActivationDate,
    coalesce(nextChange, timestamp '9999-12-31 00:00:00') as rowExpirationDate,
    case when nextChange is null then 1 else 0 end as currentRow
from stretches
{%- if not is_incremental() %}
union all
select
    {{ anonymous_user_key() }}, 0, 'NA', 'NA', 'NA', 'NA', 9999999999999,
    timestamp '1970-01-01 00:00:00', timestamp '9999-12-31 00:00:00', 1
{%- endif %}
