-- panel: User level by gender
-- kind: stacked
-- order: 33
-- width: 3
-- height: 270
select
    case gender when 'F' then 'Female' when 'M' then 'Male' else 'Unknown' end as label,
    level as series,
    count(distinct userId) as value
from prod.wide_streams
where hour >= $from and hour < $to and userId <> 0 and coalesce($state, stateCode) = stateCode
group by 1, 2
order by 2 desc, 1
