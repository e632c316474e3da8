-- panel: Streams
-- kind: number
-- order: 12
-- width: 3
-- note: In the period
select sum(streams) as value
from prod.agg_hourly
where hour >= $from and hour < $to and coalesce($state, stateCode) = stateCode
