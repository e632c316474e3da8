-- panel: Pipeline
-- kind: strip
-- order: 5
-- width: 12
select
    max(hour) + interval 1 hour as "Complete up to",
    max(loaded_at) as "Last load",
    count(distinct hour) as "Hours loaded",
    sum("rows") as "Events loaded",
    sum(files) as "Files read",
    (select count(*) from prod.wide_streams) as "Streams modelled"
from staging._loads
