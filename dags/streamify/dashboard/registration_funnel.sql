-- panel: Registration funnel
-- kind: funnel
-- order: 50
-- width: 3
-- note: Sessions that reached each page
select page as label, count(distinct sessionId) as value
from prod.fact_page_views
where hour >= $from and hour < $to and page in ('Home', 'Register', 'Submit Registration')
    and coalesce($state, stateCode) = stateCode
group by page
order by value desc
