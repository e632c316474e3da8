-- The hot path: one step of runs is one function, called in a transaction of its own if the caller has a copy of the runs that still
-- stands (runs.revision), so that a hop from task to task is one round trip and one commit. A change of a function's arguments makes a new
-- function: nodes of the version before go on with theirs.

-- The item of an instance lies with the instance: a claim reads it without reading all others.
drop table mapped_items;
alter table task_instances add column item json;
comment on column task_instances.item is 'Its item, if it was not known before the task could start; null if the dag version says it, or for a plain task.';
comment on column runs.revision is 'Grows with each change of the run or its instances but a claim (queued and running decide alike); a node''s copy of them is good while it stands.';

-- What is limited together is looked at together; what is not limited is claimed without looking at anything else.
alter table attempts
    add column lane text generated always as (case when pool is not null or limit_key is not null
        then coalesce(pool, '') || E'\n' || coalesce(limit_key, '') end) stored;
comment on column attempts.lane is 'Pool and limit together, null if it has neither: attempts of one lane wait for the same places.';
drop index attempts_claim_idx, attempts_pool_idx, attempts_limit_idx;
create index attempts_claim_idx on attempts (is_service, priority desc, id) where state = 'queued' and lane is null;
create index attempts_lane_idx on attempts (lane, is_service, priority desc, id) where state = 'queued' and lane is not null;
create index attempts_pool_idx on attempts (pool) where pool is not null and state = 'running';
create index attempts_limit_idx on attempts (limit_key) where limit_key is not null and state = 'running';

-- Backfills have a budget of their own: neither sort of run is looked at when the other is promoted.
alter table dags drop column last_was_backfill;
drop index runs_queued_idx, runs_backfill_idx, runs_running_idx;
create index runs_queued_idx on runs (dag_id, run_after, id) where state = 'queued' and backfill is null;
create index runs_queued_backfill_idx on runs (backfill, run_after, id) where state = 'queued' and backfill is not null;
create index runs_queued_due_idx on runs (run_after) where state = 'queued';
create index runs_running_idx on runs (dag_id, id) where state = 'running' and backfill is null;
create index runs_running_backfill_idx on runs (backfill) where state = 'running' and backfill is not null;
create index runs_backfill_idx on runs (backfill) where backfill is not null;

-- Claims -------------------------------------------------------------------------------------------------------------

-- Purpose: take the first queued attempts that fit a node, tasks and services each up to their limit, and begin their instances.
-- Guard: `state = 'queued'` under a row lock (`skip locked`, so claimers do not wait for each other), and a node that is not given up.
-- What is limited by a pool or a limit of its own is counted from running rows by one claimer at a time: in READ COMMITTED each statement
-- here sees what was committed before it, so the lock, then the count, is enough.
-- The settings: plans are made once a connection, when the tables may still be empty, and must be good when they are not.
create function claim_attempts(p_now timestamptz, p_node uuid, p_queues text[], p_routes text[], p_slots int8, p_service_slots int8)
returns table (attempt_id int8, lease int8, run int8, task int4, map_index int4, try_number int4, first_started_at timestamptz,
    dag_id text, run_id text, version_id int8, run_type text, window_start timestamptz, window_end timestamptz, logical_date timestamptz,
    params text, requested_by text, item text)
language plpgsql
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
    limited int8[] := '{}';
begin
    if p_slots + p_service_slots <= 0 or not exists (select 1 from nodes where id = p_node and ended_at is null) then
        return;
    end if;
    if exists (select 1 from attempts where state = 'queued' and lane is not null) then
        perform pg_advisory_xact_lock(hashtext('streamify.pools'));
        limited := limited_attempts(p_queues, p_routes, p_slots, p_service_slots);
    end if;
    return query
    with tasks as materialized (
        select id, priority, is_service from attempts
        where state = 'queued' and lane is null and not is_service and queue = any(p_queues) and (route is null or route = any(p_routes))
        order by priority desc, id limit p_slots for update skip locked
    ), services as materialized (
        select id, priority, is_service from attempts
        where state = 'queued' and lane is null and is_service and queue = any(p_queues) and (route is null or route = any(p_routes))
        order by priority desc, id limit p_service_slots for update skip locked
    ), found as (
        select * from tasks
        union all select * from services
        union all select a.id, a.priority, a.is_service from unnest(limited) l(id) join attempts a on a.id = l.id and a.state = 'queued'
    ), ranked as (
        select id, is_service, row_number() over (partition by is_service order by priority desc, id) as rank from found
    ), taken as (
        update attempts a set state = 'running', node = p_node, lease = nextval('attempt_leases'), started_at = p_now
        from ranked f
        where a.id = f.id and a.state = 'queued' and f.rank <= case when f.is_service then p_service_slots else p_slots end
        returning a.id, a.lease, a.run, a.task, a.map_index, a.try_number, a.priority
    ), begun as (
        update task_instances i set state = 'running', started_at = coalesce(i.started_at, p_now)
        from taken t
        where i.run = t.run and i.task = t.task and i.map_index = t.map_index and task_may_become(i.state, 'running')
        returning i.run, i.task, i.map_index, i.started_at, i.item::text as item
    )
    select t.id, t.lease, t.run, t.task, t.map_index, t.try_number, b.started_at,
        r.dag_id, r.run_id, r.version_id, r.run_type, r.window_start, r.window_end, r.logical_date, r.params::text, r.requested_by, b.item
    from taken t join runs r on r.id = t.run left join begun b on b.run = t.run and b.task = t.task and b.map_index = t.map_index
    order by t.priority desc, t.id;
end
$$;

-- Queued attempts of pools and limits that have places now, locked, the first of each lane: never more than the places that are left.
-- A place that is too small for the first of a pool stays free for it; what could never fit waits aside. Called under the claims' lock.
create function limited_attempts(p_queues text[], p_routes text[], p_slots int8, p_service_slots int8) returns int8[]
language plpgsql
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
    ids int8[];
begin
    with recursive lanes(lane) as (
        (select lane from attempts where state = 'queued' and lane is not null order by lane limit 1)
        union all
        select (select a.lane from attempts a where a.state = 'queued' and a.lane > l.lane order by a.lane limit 1)
        from lanes l where l.lane is not null
    ), named as materialized (
        select l.lane, a.pool, a.limit_key from lanes l
        cross join lateral (select pool, limit_key from attempts where state = 'queued' and lane = l.lane limit 1) a
        where l.lane is not null
    ), places as materialized (
        select n.lane, p.slots as pool_size,
            p.slots - (select coalesce(sum(r.pool_slots), 0) from attempts r where r.pool = n.pool and r.state = 'running') as pool_left,
            (select count(*) from attempts r where r.limit_key = n.limit_key and r.state = 'running') as limit_used
        from named n left join pools p on p.name = n.pool
        where n.pool is null or p.slots > 0
    ), found as materialized (
        select c.*, l.pool_left, l.limit_used from places l
        cross join (values (false, p_slots), (true, p_service_slots)) as sort(is_service, slots)
        cross join lateral (
            select a.id, a.priority, a.pool, a.pool_slots, a.limit_key, a.limit_slots from attempts a
            where a.state = 'queued' and a.lane = l.lane and a.is_service = sort.is_service
                and queue = any(p_queues) and (route is null or route = any(p_routes))
                and (a.pool is null or (l.pool_left > 0 and a.pool_slots <= l.pool_size))
                and (a.limit_key is null or l.limit_used < a.limit_slots)
            order by a.priority desc, a.id limit sort.slots for update skip locked
        ) c
    ), counted as (
        select id,
            pool is null or sum(pool_slots) over (partition by pool order by priority desc, id) <= pool_left as in_pool,
            limit_key is null
                or limit_used + row_number() over (partition by limit_key order by priority desc, id) <= limit_slots as in_limit
        from found
    )
    select coalesce(array_agg(id), '{}') into ids from counted where in_pool and in_limit;
    return ids;
end
$$;

-- Steps --------------------------------------------------------------------------------------------------------------

-- Purpose: write what a decision about runs came to, and claim what fits on the node that calls, in one statement.
-- Guard: each run is running and its revision is the one that was decided on (SF001 else); each ended attempt is running under its lease,
-- and each instance moves as task_may_become allows (SF002 else). Nothing of a refused step stays.
-- Texts that people gave (outputs, targets of notices) come in p_texts, named by position: json is not read inside them.
create function take_step(
    p_now timestamptz, p_runs int8[], p_revisions int8[], p_states text[], p_wakes timestamptz[], p_retries text[], p_texts text[],
    p_ends json, p_settled json, p_queued json, p_stops json, p_events json, p_notices json, p_rings text[],
    p_node uuid, p_queues text[], p_routes text[], p_slots int8, p_service_slots int8)
returns table (attempt_id int8, lease int8, run int8, task int4, map_index int4, try_number int4, first_started_at timestamptz,
    dag_id text, run_id text, version_id int8, run_type text, window_start timestamptz, window_end timestamptz, logical_date timestamptz,
    params text, requested_by text, item text)
language plpgsql
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
    moved int8;
    ended int8;
    freed int8 := 0;
    made int8[] := '{}';
begin
    with locked as materialized (
        select r.id, w.state, w.wake_at, w.retries
        from unnest(p_runs, p_revisions, p_states, p_wakes, p_retries) as w(id, revision, state, wake_at, retries)
        join runs r on r.id = w.id and r.revision = w.revision and r.state = 'running'
        order by r.id for no key update of r
    )
    update runs r set revision = r.revision + 1, state = l.state, ended_at = case when l.state <> 'running' then p_now end,
        wake_at = case when l.state = 'running' then l.wake_at end, retries = coalesce(l.retries::json, r.retries)
    from locked l where r.id = l.id;
    get diagnostics moved = row_count;
    if moved <> cardinality(p_runs) then
        raise exception 'of % runs % are as they were', cardinality(p_runs), moved using errcode = 'SF001';
    end if;

    if p_ends is not null then
        with gone as (
            delete from attempts a
            using json_to_recordset(p_ends) as e(id int8, lease int8, ending text, next_state text, message text, output int4,
                failures int4, losses int4, next_at timestamptz, reason text)
            where a.id = e.id and a.lease = e.lease and a.state = 'running'
            returning a.*, e.ending, e.next_state, e.message, p_texts[e.output]::json as outputs, e.failures, e.losses, e.next_at, e.reason
        ), kept as (
            insert into attempt_history (id, run, task, map_index, try_number, is_service, node, node_name, lease, queued_at,
                started_at, ready_at, stop_requested_at, ended_at, ending, next_state, message, outputs)
            select id, run, task, map_index, try_number, is_service, node, (select n.name from nodes n where n.id = g.node), lease,
                queued_at, started_at, ready_at, stop_requested_at, p_now, ending, next_state, message, outputs
            from gone g
        ), went as (
            update task_instances i set
                state = g.next_state, failures = g.failures, losses = g.losses, next_at = g.next_at, message = g.reason,
                ended_at = case when g.next_at is null then p_now end,
                outputs = case when g.next_state in ('success', 'skipped') then g.outputs end
            from gone g
            where i.run = g.run and i.task = g.task and i.map_index = g.map_index and task_may_become(i.state, g.next_state)
            returning 1
        )
        select (select count(*) from gone), (select count(*) from gone where lane is not null), (select count(*) from went)
        into ended, freed, moved;
        if ended <> json_array_length(p_ends) or moved <> ended then
            raise exception '% attempts were to end, % did, and % instances moved', json_array_length(p_ends), ended, moved
                using errcode = 'SF002';
        end if;
    end if;

    if p_settled is not null then
        update task_instances i set state = s.state, ended_at = p_now, next_at = null, message = s.reason
        from json_to_recordset(p_settled) as s(run int8, task int4, map_index int4, state text, reason text)
        where i.run = s.run and i.task = s.task and i.map_index = s.map_index and task_may_become(i.state, s.state);
        get diagnostics moved = row_count;
        if moved <> json_array_length(p_settled) then
            raise exception '% instances were to be settled, % were', json_array_length(p_settled), moved using errcode = 'SF002';
        end if;
    end if;

    if p_queued is not null then
        with q as materialized (
            select * from rows from (json_to_recordset(p_queued) as (run int8, task int4, map_index int4, try_number int4, fresh bool,
                queue text, route text, priority int4, is_service bool, pool text, pool_slots int4, limit_key text, limit_slots int4))
                with ordinality as q(run, task, map_index, try_number, fresh, queue, route, priority, is_service, pool, pool_slots,
                    limit_key, limit_slots, position)
        ), born as (
            insert into attempts (run, task, map_index, try_number, state, queue, route, priority, is_service, queued_at,
                pool, pool_slots, limit_key, limit_slots)
            select run, task, map_index, try_number, 'queued', queue, route, priority, is_service, p_now,
                pool, coalesce(pool_slots, 1), limit_key, limit_slots
            from q order by position
            returning id
        ), went as (
            update task_instances i set
                state = 'queued', try_number = q.try_number, next_at = null, message = null,
                started_at = case when q.fresh then null else i.started_at end
            from q where i.run = q.run and i.task = q.task and i.map_index = q.map_index and task_may_become(i.state, 'queued')
            returning 1
        )
        select (select array_agg(id) from born), (select count(*) from went) into made, moved;
        if moved <> json_array_length(p_queued) then
            raise exception '% instances were to be queued, % were', json_array_length(p_queued), moved using errcode = 'SF002';
        end if;
    end if;

    if p_stops is not null then
        update attempts a set stop_requested_at = p_now, stop_reason = s.reason
        from json_to_recordset(p_stops) as s(run int8, task int4, map_index int4, reason text)
        where a.run = s.run and a.task = s.task and a.map_index = s.map_index and a.state = 'running' and a.stop_requested_at is null;
        perform pg_notify('streamify', 'stop');
    end if;

    if p_events is not null then
        insert into asset_events (asset, run, task, map_index, who, at)
        select asset, run, task, map_index, who, p_now
        from json_to_recordset(p_events) as e(asset text, run int8, task int4, map_index int4, who text) order by asset;
    end if;

    if p_notices is not null then
        insert into notifications (event, run, target, body, state, next_at, created_at)
        select n.event, n.run, p_texts[n.target]::json, p_texts[n.body]::json, 'waiting', p_now, p_now
        from json_to_recordset(p_notices) as n(event text, run int8, target int4, body int4)
        where n.event <> 'recovery' or (
            select p.state = 'failed' from runs r
            join runs p on p.dag_id = r.dag_id and (p.run_after, p.id) < (r.run_after, r.id) and p.state in ('success', 'failed', 'cancelled')
            where r.id = n.run order by p.run_after desc, p.id desc limit 1);
        if found then
            perform pg_notify('streamify', 'notify');
        end if;
    end if;
    perform pg_notify('streamify', ring) from unnest(p_rings) as r(ring);

    -- A run that waited for the place of one that has ended may start now.
    if exists (select 1 from unnest(p_states) as s(state) where state <> 'running') then
        perform pg_notify('streamify', 'runs')
        where exists (
            select 1 from runs e where e.id = any(p_runs) and e.state <> 'running' and case when e.backfill is null
                then exists (select 1 from runs w where w.dag_id = e.dag_id and w.state = 'queued' and w.backfill is null)
                else exists (select 1 from runs w where w.backfill = e.backfill and w.state = 'queued') end);
    end if;

    if p_node is not null then
        return query select * from claim_attempts(p_now, p_node, p_queues, p_routes, p_slots, p_service_slots);
        get diagnostics moved = row_count;
    else
        moved := 0;
    end if;
    -- What this node did not take, and places that it freed and did not fill, are for the others.
    if exists (select 1 from unnest(made) as m(id) join attempts a on a.id = m.id where a.state = 'queued')
        or (freed > moved and exists (select 1 from attempts where state = 'queued' and lane is not null)) then
        perform pg_notify('streamify', 'work');
    end if;
end
$$;
