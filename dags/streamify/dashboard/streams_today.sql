-- panel: Streams today
-- kind: number
-- order: 10
-- width: 3
-- note: The newest day, against the same hours of the day before
with newest as (
    select max(hour) as hour from prod.agg_hourly where hour < $to
)
select
    sum(case when a.hour >= date_trunc('day', newest.hour) then a.streams end) as value,
    sum(case when a.hour < date_trunc('day', newest.hour) and a.hour <= newest.hour - interval 1 day then a.streams end) as previous
from prod.agg_hourly as a, newest
where a.hour >= date_trunc('day', newest.hour) - interval 1 day
    and a.hour <= newest.hour
    and coalesce($state, a.stateCode) = a.stateCode
