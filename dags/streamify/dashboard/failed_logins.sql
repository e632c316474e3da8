-- panel: Failed logins
-- kind: number
-- order: 53
-- width: 3
-- unit: percent
-- better: down
-- note: Share of attempts to log in on the newest day, against the day before
with newest as (
    select date_trunc('day', max(hour)) as day from prod.fact_auth where hour < $to
)
select
    100.0 * sum(case when a.hour >= newest.day and not success then 1 else 0 end)
        / nullif(sum(case when a.hour >= newest.day then 1 else 0 end), 0) as value,
    100.0 * sum(case when a.hour < newest.day and not success then 1 else 0 end)
        / nullif(sum(case when a.hour < newest.day then 1 else 0 end), 0) as previous
from prod.fact_auth as a, newest
where a.hour >= newest.day - interval 1 day and a.hour < newest.day + interval 1 day and a.hour < $to
    and coalesce($state, a.stateCode) = a.stateCode
