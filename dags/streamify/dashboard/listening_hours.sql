-- panel: Hours listened
-- kind: number
-- order: 13
-- width: 3
-- note: In the period, by the length of the songs
select round(sum(listenSeconds) / 3600) as value
from prod.agg_hourly
where hour >= $from and hour < $to and coalesce($state, stateCode) = stateCode
