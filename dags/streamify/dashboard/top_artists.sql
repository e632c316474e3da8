-- panel: Top artists
-- kind: ranking
-- order: 31
-- width: 3
select artistName as label, count(*) as value
from prod.wide_streams
where hour >= $from and hour < $to and artistName <> 'NA' and coalesce($state, stateCode) = stateCode
group by artistName
order by value desc, label
limit 12
