-- panel: Listeners per day
-- kind: stacked
-- order: 40
-- width: 6
-- note: Different users a day, by the level at which they listened most
with counted as (
    select date_trunc('day', hour) as day, userId, level, count(*) as streams
    from prod.wide_streams
    where hour >= $from and hour < $to and userId <> 0 and coalesce($state, stateCode) = stateCode
    group by 1, 2, 3
),
days as (
    select day, level, row_number() over (partition by day, userId order by streams desc, level) as choice
    from counted
)
select cast(cast(day as date) as varchar) as label, level as series, count(*) as value
from days
where choice = 1
group by 1, 2
order by 1, 2 desc
