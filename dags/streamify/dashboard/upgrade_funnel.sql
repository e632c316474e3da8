-- panel: Upgrade funnel
-- kind: funnel
-- order: 51
-- width: 3
-- note: Sessions that reached each page
select page as label, count(distinct sessionId) as value
from prod.fact_page_views
where hour >= $from and hour < $to and page in ('NextSong', 'Upgrade', 'Submit Upgrade')
    and coalesce($state, stateCode) = stateCode
group by page
order by value desc
