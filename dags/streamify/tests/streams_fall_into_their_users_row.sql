-- The user's row of a stream is the one that held when the song was played, and no other hour's reload has changed that.
select facts.topicPartition, facts.topicOffset, facts.userId, facts.timestamp
from {{ ref('fact_streams') }} as facts
join {{ ref('dim_users') }} as users on users.userKey = facts.userKey
where users.userId <> facts.userId
    or facts.timestamp < users.rowActivationDate
    or facts.timestamp >= users.rowExpirationDate
