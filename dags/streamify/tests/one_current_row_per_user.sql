-- Every user has exactly one row that holds now.
select userId, sum(currentRow) as currentRows
from {{ ref('dim_users') }}
group by userId
having sum(currentRow) <> 1
