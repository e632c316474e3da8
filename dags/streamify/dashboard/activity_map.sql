-- panel: User activity per state
-- kind: map
-- order: 20
-- width: 7
-- filter: state
select stateCode as code, sum(streams) as value
from prod.agg_hourly
where hour >= $from and hour < $to and stateCode is not null
group by stateCode
