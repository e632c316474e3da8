-- panel: Total users
-- kind: number
-- order: 11
-- width: 3
-- note: Different listeners in the period
select count(distinct userId) as value
from prod.wide_streams
where hour >= $from and hour < $to and userId <> 0 and coalesce($state, stateCode) = stateCode
