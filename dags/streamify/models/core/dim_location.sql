{{ config(materialized='incremental', incremental_strategy='merge', unique_key='locationKey', event_time='hour') }}
-- One row for each city, state and zip code that was listened from; coordinates describe it but do not identify it.
with seen as (
    select distinct city, state as stateCode, zip, lat as latitude, lon as longitude
    from {{ source('streamify', 'listen_events') }}
    where {{ batch_filter('hour') }}
),
known as (
    select {{ location_key('city', 'stateCode', 'zip') }} as locationKey, seen.* from seen
    {%- if is_incremental() %}
    union all
    select locationKey, city, stateCode, zip, latitude, longitude
    from {{ this }}
    where locationKey in (select {{ location_key('city', 'stateCode', 'zip') }} from seen)
    {%- endif %}
),
ranked as (
    select *, row_number() over (partition by locationKey order by latitude, longitude) as choice
    from known
)
select
    ranked.locationKey,
    ranked.city,
    ranked.stateCode,
    coalesce(states.stateName, 'NA') as stateName,
    ranked.zip,
    ranked.latitude,
    ranked.longitude
from ranked
left join {{ ref('state_codes') }} as states on states.stateCode = ranked.stateCode
where ranked.choice = 1
