-- panel: Chart busters
-- kind: ranking
-- order: 30
-- width: 3
select songName as label, count(*) as value
from prod.wide_streams
where hour >= $from and hour < $to and songName <> 'NA' and coalesce($state, stateCode) = stateCode
group by songName
order by value desc, label
limit 12
