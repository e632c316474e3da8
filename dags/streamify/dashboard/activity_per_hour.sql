-- panel: User activity per hour
-- kind: lines
-- order: 21
-- width: 5
-- height: 400
-- note: Streams in each hour (UTC) of the newest day, and of the day before
with newest as (
    select date_trunc('day', max(hour)) as day from prod.agg_hourly where hour < $to
)
select
    lpad(cast(extract(hour from a.hour) as varchar), 2, '0') as label,
    case when a.hour >= newest.day then 'newest day' else 'day before' end as series,
    sum(a.streams) as value
from prod.agg_hourly as a, newest
where a.hour >= newest.day - interval 1 day and a.hour < newest.day + interval 1 day and a.hour < $to
    and coalesce($state, a.stateCode) = a.stateCode
group by 1, 2
order by 2 desc, 1
