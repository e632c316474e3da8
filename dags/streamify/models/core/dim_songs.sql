{{ config(materialized='incremental', incremental_strategy='merge', unique_key='songKey', replaces='true') }}
-- The catalogue, and one row for songs that it does not know.
select
    {{ song_key('song_id') }} as songKey,
    song_id as songId,
    coalesce({{ clean_name('artist_name') }}, 'NA') as artistName,
    {{ dbt.cast('duration', dbt.type_float()) }} as duration,
    {{ dbt.cast('key', dbt.type_bigint()) }} as key,
    {{ dbt.cast('key_confidence', dbt.type_float()) }} as keyConfidence,
    {{ dbt.cast('loudness', dbt.type_float()) }} as loudness,
    {{ dbt.cast('song_hotttnesss', dbt.type_float()) }} as songHotness,
    {{ dbt.cast('tempo', dbt.type_float()) }} as tempo,
    coalesce({{ clean_name('title') }}, 'NA') as title,
    {{ dbt.cast('year', dbt.type_bigint()) }} as year
from {{ source('streamify', 'songs') }}
union all
select {{ unknown_song_key() }}, 'NA', 'NA', -1, -1, -1, -1, -1, -1, 'NA', 0
