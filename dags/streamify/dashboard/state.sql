-- panel: State
-- kind: filter
-- order: 1
-- name: state
-- all: all states
select stateCode as value, max(stateName) as label
from prod.agg_hourly
where stateCode is not null and stateCode <> 'NA'
group by stateCode
order by label
