{{ config(severity='warn') }}
-- More than one stream in a hundred without a song means that the catalogue is not the one that was played from.
with counts as (
    select
        count(*) as streams,
        sum(case when songKey = {{ unknown_song_key() }} then 1 else 0 end) as unknown
    from {{ ref('fact_streams') }}
)
select * from counts where unknown > streams * 0.01
