-- panel: When people listen
-- kind: heat
-- order: 41
-- width: 6
-- note: Streams by weekday and hour (UTC)
select
    substr('SunMonTueWedThuFriSat', 1 + 3 * cast(extract(dow from hour) as integer), 3) as "row",
    lpad(cast(extract(hour from hour) as varchar), 2, '0') as col,
    sum(streams) as value
from prod.agg_hourly
where hour >= $from and hour < $to and coalesce($state, stateCode) = stateCode
group by 1, 2, extract(dow from hour)
order by mod(extract(dow from hour) + 6, 7), 2
