-- panel: When people listen
-- kind: heat
-- order: 41
-- width: 6
-- note: Streams by weekday and hour (UTC)
with days as (
    select extract(dow from hour) as day, extract(hour from hour) as hourOfDay, sum(streams) as streams
    from prod.agg_hourly
    where hour >= $from and hour < $to and coalesce($state, stateCode) = stateCode
    group by 1, 2
)
select
    substr('SunMonTueWedThuFriSat', 1 + 3 * cast(day as integer), 3) as "row",
    lpad(cast(hourOfDay as varchar), 2, '0') as col,
    streams as value
from days
order by mod(day + 6, 7), hourOfDay
