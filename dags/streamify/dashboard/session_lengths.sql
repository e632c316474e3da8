-- panel: Songs per session
-- kind: stacked
-- order: 52
-- width: 3
-- height: 190
with sessions as (
    select sessionId, count(*) as songs
    from prod.wide_streams
    where hour >= $from and hour < $to and coalesce($state, stateCode) = stateCode
    group by sessionId
)
select
    case when songs = 1 then '1' when songs <= 5 then '2-5' when songs <= 10 then '6-10' when songs <= 25 then '11-25'
        when songs <= 50 then '26-50' when songs <= 100 then '51-100' else '> 100' end as label,
    'sessions' as series,
    count(*) as value
from sessions
group by 1
order by min(songs)
