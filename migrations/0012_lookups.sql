-- Claims and steps look up attempts by their ids, whatever Postgres last counted. A queue is often empty when it counts; planned then, a
-- join with the live attempts read all of them for each call, and the plan was kept when the queue filled.

-- Purpose: take the first queued attempts that fit a node, tasks and services each up to their limit, and begin their instances.
-- Guard: `state = 'queued'` under a row lock (`skip locked`, so claimers do not wait for each other), and a node that is not given up.
-- What is limited by a pool or a limit of its own is counted from running rows by one claimer at a time: in READ COMMITTED each statement
-- here sees what was committed before it, so the lock, then the count, is enough.
-- The settings: plans are made once a connection, when the tables may still be empty, and must be good when they are not.
create or replace function claim_attempts(p_now timestamptz, p_node uuid, p_queues text[], p_routes text[], p_slots int8, p_service_slots int8)
returns table (attempt_id int8, lease int8, run int8, task int4, map_index int4, try_number int4, first_started_at timestamptz,
    dag_id text, run_id text, version_id int8, run_type text, window_start timestamptz, window_end timestamptz, logical_date timestamptz,
    params text, requested_by text, item text)
language plpgsql
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
    limited int8[] := '{}';
    ids int8[];
begin
    if p_slots + p_service_slots <= 0 or not exists (select 1 from nodes where id = p_node and ended_at is null) then
        return;
    end if;
    if exists (select 1 from attempts where state = 'queued' and lane is not null) then
        perform pg_advisory_xact_lock(hashtext('streamify.pools'));
        limited := limited_attempts(p_queues, p_routes, p_slots, p_service_slots);
    end if;
    ids := array(
            select id from attempts
            where state = 'queued' and lane is null and not is_service and queue = any(p_queues)
                and (route is null or route = any(p_routes))
            order by priority desc, id limit p_slots for update skip locked)
        || array(
            select id from attempts
            where state = 'queued' and lane is null and is_service and queue = any(p_queues)
                and (route is null or route = any(p_routes))
            order by priority desc, id limit p_service_slots for update skip locked);
    if limited <> '{}' then
        ids := array(
            select id from (
                select id, is_service, row_number() over (partition by is_service order by priority desc, id) as rank
                from attempts where id = any(ids || limited) and state = 'queued') ranked
            where rank <= case when is_service then p_service_slots else p_slots end);
    end if;
    if ids = '{}' then
        return;
    end if;
    return query
    with taken as (
        update attempts a set state = 'running', node = p_node, lease = nextval('attempt_leases'), started_at = p_now
        where a.id = any(ids) and a.state = 'queued'
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

-- Purpose: write what a decision about runs came to, and claim what fits on the node that calls, in one statement.
-- Guard: each run is running and its revision is the one that was decided on (SF001 else); each ended attempt is running under its lease,
-- and each instance moves as task_may_become allows (SF002 else). Nothing of a refused step stays.
-- Texts that people gave (outputs, targets of notices) come in p_texts, named by position: json is not read inside them.
-- What nobody has queued before it, and no pool or limit counts, is the caller's without waiting in the queue; all else goes through
-- claim_attempts.
create or replace function take_step(
    p_now timestamptz, p_runs int8[], p_revisions int8[], p_states text[], p_wakes timestamptz[], p_retries text[], p_texts text[],
    e_ids int8[], e_leases int8[], e_endings text[], e_states text[], e_messages text[], e_outputs int4[], e_failures int4[],
    e_losses int4[], e_nexts timestamptz[], e_reasons text[],
    s_runs int8[], s_tasks int4[], s_items int4[], s_states text[], s_reasons text[],
    q_runs int8[], q_tasks int4[], q_items int4[], q_tries int4[], q_fresh bool[], q_queues text[], q_routes text[], q_priorities int4[],
    q_services bool[], q_pools text[], q_pool_slots int4[], q_limit_keys text[], q_limit_slots int4[],
    p_stops json, p_events json, p_notices json, p_rings text[],
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
    held attempts;
    own runs;
    direct bool;
    made int8[] := '{}';
    taken int8[] := '{}';
    v_lease int8;
    v_started timestamptz;
    v_item text;
begin
    if cardinality(p_runs) = 1 then
        update runs r set revision = r.revision + 1, state = p_states[1], ended_at = case when p_states[1] <> 'running' then p_now end,
            wake_at = case when p_states[1] = 'running' then p_wakes[1] end, retries = coalesce(p_retries[1]::json, r.retries)
        where r.id = p_runs[1] and r.revision = p_revisions[1] and r.state = 'running'
        returning r.* into own;
    else
        with locked as materialized (
            select r.id, w.state, w.wake_at, w.retries
            from unnest(p_runs, p_revisions, p_states, p_wakes, p_retries) as w(id, revision, state, wake_at, retries)
            join runs r on r.id = w.id and r.revision = w.revision and r.state = 'running'
            order by r.id for no key update of r
        )
        update runs r set revision = r.revision + 1, state = l.state, ended_at = case when l.state <> 'running' then p_now end,
            wake_at = case when l.state = 'running' then l.wake_at end, retries = coalesce(l.retries::json, r.retries)
        from locked l where r.id = l.id;
    end if;
    get diagnostics moved = row_count;
    if moved <> cardinality(p_runs) then
        raise exception 'of % runs % are as they were', cardinality(p_runs), moved using errcode = 'SF001';
    end if;

    if cardinality(e_ids) = 1 then
        delete from attempts a where a.id = e_ids[1] and a.lease = e_leases[1] and a.state = 'running' returning a.* into held;
        if not found then
            raise exception 'attempt % is not running under lease %', e_ids[1], e_leases[1] using errcode = 'SF002';
        end if;
        insert into attempt_history (id, run, task, map_index, try_number, is_service, node, node_name, lease, queued_at,
            started_at, ready_at, stop_requested_at, ended_at, ending, next_state, message, outputs)
        values (held.id, held.run, held.task, held.map_index, held.try_number, held.is_service, held.node,
            (select n.name from nodes n where n.id = held.node), held.lease, held.queued_at, held.started_at, held.ready_at,
            held.stop_requested_at, p_now, e_endings[1], e_states[1], e_messages[1], p_texts[e_outputs[1]]::json);
        update task_instances i set
            state = e_states[1], failures = e_failures[1], losses = e_losses[1], next_at = e_nexts[1], message = e_reasons[1],
            ended_at = case when e_nexts[1] is null then p_now end,
            outputs = case when e_states[1] in ('success', 'skipped') then p_texts[e_outputs[1]]::json end
        where i.run = held.run and i.task = held.task and i.map_index = held.map_index and task_may_become(i.state, e_states[1]);
        if not found then
            raise exception 'the instance of attempt % may not become %', held.id, e_states[1] using errcode = 'SF002';
        end if;
        freed := (held.lane is not null)::int;
    elsif cardinality(e_ids) > 1 then
        with gone as (
            delete from attempts a
            using unnest(e_ids, e_leases, e_endings, e_states, e_messages, e_outputs, e_failures, e_losses, e_nexts, e_reasons)
                as e(id, lease, ending, next_state, message, output, failures, losses, next_at, reason)
            where a.id = any(e_ids) and a.id = e.id and a.lease = e.lease and a.state = 'running'
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
        if ended <> cardinality(e_ids) or moved <> ended then
            raise exception '% attempts were to end, % did, and % instances moved', cardinality(e_ids), ended, moved
                using errcode = 'SF002';
        end if;
    end if;

    if cardinality(s_runs) > 0 then
        update task_instances i set state = s.state, ended_at = p_now, next_at = null, message = s.reason
        from unnest(s_runs, s_tasks, s_items, s_states, s_reasons) as s(run, task, map_index, state, reason)
        where i.run = s.run and i.task = s.task and i.map_index = s.map_index and task_may_become(i.state, s.state);
        get diagnostics moved = row_count;
        if moved <> cardinality(s_runs) then
            raise exception '% instances were to be settled, % were', cardinality(s_runs), moved using errcode = 'SF002';
        end if;
    end if;

    direct := p_node is not null and exists (select 1 from nodes where id = p_node and ended_at is null)
        and not exists (select 1 from attempts where state = 'queued' and lane is null)
        and not exists (select 1 from attempts where state = 'queued' and lane is not null)
        and num_nonnulls(variadic q_pools) = 0 and num_nonnulls(variadic q_limit_keys) = 0;

    if cardinality(q_runs) = 1 and cardinality(p_runs) = 1 then
        direct := direct and q_queues[1] = any(p_queues) and (q_routes[1] is null or q_routes[1] = any(p_routes))
            and case when q_services[1] then p_service_slots else p_slots end > 0;
        insert into attempts (run, task, map_index, try_number, state, queue, route, priority, is_service, queued_at,
            pool, pool_slots, limit_key, limit_slots, lease, node, started_at)
        values (q_runs[1], q_tasks[1], q_items[1], q_tries[1], case when direct then 'running' else 'queued' end, q_queues[1],
            q_routes[1], q_priorities[1], q_services[1], p_now, q_pools[1], q_pool_slots[1], q_limit_keys[1], q_limit_slots[1],
            case when direct then nextval('attempt_leases') end, case when direct then p_node end, case when direct then p_now end)
        returning array[id], lease into made, v_lease;
        update task_instances i set
            state = case when direct then 'running' else 'queued' end, try_number = q_tries[1], next_at = null, message = null,
            started_at = case when direct then coalesce(case when not q_fresh[1] then i.started_at end, p_now)
                when not q_fresh[1] then i.started_at end
        where i.run = q_runs[1] and i.task = q_tasks[1] and i.map_index = q_items[1] and task_may_become(i.state, 'queued')
        returning i.started_at, i.item::text into v_started, v_item;
        if not found then
            raise exception 'task % (%) of run % may not be queued', q_tasks[1], q_items[1], q_runs[1] using errcode = 'SF002';
        end if;
        if direct then
            return query select made[1], v_lease, own.id, q_tasks[1], q_items[1], q_tries[1], v_started, own.dag_id, own.run_id,
                own.version_id, own.run_type, own.window_start, own.window_end, own.logical_date, own.params::text, own.requested_by, v_item;
            made := '{}';
        end if;
    elsif cardinality(q_runs) > 0 then
        with q as materialized (
            select *, direct and queue = any(p_queues) and (route is null or route = any(p_routes)) as fits
            from unnest(q_runs, q_tasks, q_items, q_tries, q_fresh, q_queues, q_routes, q_priorities, q_services, q_pools, q_pool_slots,
                q_limit_keys, q_limit_slots) with ordinality as q(run, task, map_index, try_number, fresh, queue, route, priority, is_service,
                pool, pool_slots, limit_key, limit_slots, position)
        ), chosen as materialized (
            select *, fits and row_number() over (partition by fits, is_service order by priority desc, position)
                <= case when is_service then p_service_slots else p_slots end as taken
            from q
        ), born as (
            insert into attempts (run, task, map_index, try_number, state, queue, route, priority, is_service, queued_at,
                pool, pool_slots, limit_key, limit_slots, lease, node, started_at)
            select run, task, map_index, try_number, case when taken then 'running' else 'queued' end, queue, route, priority, is_service,
                p_now, pool, pool_slots, limit_key, limit_slots,
                case when taken then nextval('attempt_leases') end, case when taken then p_node end, case when taken then p_now end
            from chosen order by position
            returning id, state
        ), went as (
            update task_instances i set
                state = case when c.taken then 'running' else 'queued' end, try_number = c.try_number, next_at = null, message = null,
                started_at = case when c.taken then coalesce(case when not c.fresh then i.started_at end, p_now)
                    when not c.fresh then i.started_at end
            from chosen c where i.run = c.run and i.task = c.task and i.map_index = c.map_index and task_may_become(i.state, 'queued')
            returning 1
        )
        select coalesce((select array_agg(id) from born where state = 'queued'), '{}'),
            coalesce((select array_agg(id) from born where state = 'running'), '{}'), (select count(*) from went)
        into made, taken, moved;
        if moved <> cardinality(q_runs) then
            raise exception '% instances were to be queued, % were', cardinality(q_runs), moved using errcode = 'SF002';
        end if;
        if taken <> '{}' then
            return query select a.id, a.lease, a.run, a.task, a.map_index, a.try_number, i.started_at, r.dag_id, r.run_id, r.version_id,
                r.run_type, r.window_start, r.window_end, r.logical_date, r.params::text, r.requested_by, i.item::text
            from attempts a
            join task_instances i on i.run = a.run and i.task = a.task and i.map_index = a.map_index
            join runs r on r.id = a.run
            where a.id = any(taken)
            order by a.priority desc, a.id;
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
    if p_rings <> '{}' then
        perform pg_notify('streamify', ring) from unnest(p_rings) as r(ring);
    end if;

    -- A run that waited for the place of one that has ended may start now.
    if not ('running' = all(p_states)) then
        perform pg_notify('streamify', 'runs')
        where exists (
            select 1 from runs e where e.id = any(p_runs) and e.state <> 'running' and case when e.backfill is null
                then exists (select 1 from runs w where w.dag_id = e.dag_id and w.state = 'queued' and w.backfill is null)
                else exists (select 1 from runs w where w.backfill = e.backfill and w.state = 'queued') end);
    end if;

    moved := 0;
    if p_node is not null and not direct then
        return query select * from claim_attempts(p_now, p_node, p_queues, p_routes, p_slots, p_service_slots);
        get diagnostics moved = row_count;
    end if;
    -- What this node did not take, and places that it freed and did not fill, are for the others.
    if (made <> '{}' and exists (select 1 from attempts where id = any(made) and state = 'queued'))
        or (freed > moved and exists (select 1 from attempts where state = 'queued' and lane is not null)) then
        perform pg_notify('streamify', 'work');
    end if;
end
$$;
