-- panel: Gender
-- kind: donut
-- order: 32
-- width: 3
select
    case gender when 'F' then 'Female' when 'M' then 'Male' else 'Unknown' end as label,
    count(distinct userId) as value
from prod.wide_streams
where hour >= $from and hour < $to and userId <> 0 and coalesce($state, stateCode) = stateCode
group by 1
order by value desc
