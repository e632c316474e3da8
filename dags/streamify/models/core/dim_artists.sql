{{ config(materialized='incremental', incremental_strategy='merge', unique_key='artistKey', replaces='true') }}
-- One row for each name: that is what events carry. Of several catalogue entries with one name the first id is taken.
with artists as (
    select
        coalesce({{ clean_name('artist_name') }}, 'NA') as artistName,
        artist_id as artistId,
        coalesce(artist_location, 'NA') as location,
        coalesce({{ dbt.cast('artist_latitude', dbt.type_float()) }}, 0) as latitude,
        coalesce({{ dbt.cast('artist_longitude', dbt.type_float()) }}, 0) as longitude
    from {{ source('streamify', 'songs') }}
),
ranked as (
    select
        *,
        row_number() over (partition by artistName order by artistId, location, latitude, longitude) as choice
    from artists
    where artistName <> 'NA'
)
select
    {{ artist_key('artistName') }} as artistKey, artistId, artistName, location, latitude, longitude
from ranked
where choice = 1
union all
select {{ unknown_artist_key() }}, 'NA', 'NA', 'NA', 0, 0
