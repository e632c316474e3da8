-- The engine's state: dags and versions, the tick ledger, runs, task instances, attempts, nodes.
-- Forward only. Columns hold instants in UTC, always given by the caller: no default reads the server's clock.
-- Documents are `json`, not `jsonb`: they are stored and given back whole, in the order in which they were written.

-- Which state may follow which: the same table as `model::state`, proven equal by a test. Used in the guard of each update.

create function run_may_become(from_state text, to_state text) returns boolean
language sql immutable parallel safe
return case from_state
    when 'queued' then to_state in ('running', 'cancelled', 'failed')
    when 'running' then to_state in ('success', 'failed', 'cancelled')
    else to_state = 'queued'
end;

create function task_may_become(from_state text, to_state text) returns boolean
language sql immutable parallel safe
return case from_state
    when 'none' then to_state in ('queued', 'success', 'skipped', 'upstream_failed', 'cancelled')
    when 'queued' then to_state in ('running', 'none', 'up_for_retry', 'failed', 'cancelled')
    when 'running' then to_state in ('success', 'failed', 'skipped', 'up_for_retry', 'up_for_reschedule', 'cancelled')
    when 'up_for_retry' then to_state in ('queued', 'failed', 'cancelled', 'none')
    when 'up_for_reschedule' then to_state in ('queued', 'failed', 'cancelled', 'none')
    else to_state = 'none'
end;

create function refuse_transition() returns trigger
language plpgsql as $$
begin
    raise exception '% %: % may not become %', tg_table_name, new, old.state, new.state
        using errcode = 'check_violation', hint = 'Only the transitions of run_may_become and task_may_become are possible.';
end
$$;

-- Dags ---------------------------------------------------------------------------------------------------------------

create table dags (
    dag_id text primary key,
    file text not null,
    version_id bigint,
    description text not null default '',
    tags text[] not null default '{}',
    scheduled boolean not null default false,
    max_active_runs integer not null check (max_active_runs >= 0),
    overlap text not null check (overlap in ('queue', 'skip', 'cancel')),
    paused boolean not null default false,
    present boolean not null default true,
    last_was_backfill boolean not null default false,
    registered_at timestamptz not null,
    changed_at timestamptz not null,
    absent_at timestamptz,
    check (present = (absent_at is null))
);
create index dags_present_file_idx on dags (file) where present;
comment on table dags is 'One row for each dag id that was ever registered; also what promoting its runs is serialised on.';
comment on column dags.dag_id is 'The name in the YAML (`dag:`).';
comment on column dags.file is 'The file that defines it, relative to the dags folder.';
comment on column dags.version_id is 'The newest version; null only inside the transaction that creates the dag.';
comment on column dags.description is 'Copied from the newest version, for lists.';
comment on column dags.tags is 'Copied from the newest version, for lists.';
comment on column dags.scheduled is 'Whether the newest version has a schedule (is not manual).';
comment on column dags.max_active_runs is 'Most runs in state running at once, from the newest version; 0 promotes none.';
comment on column dags.overlap is 'What becomes of a scheduled run that is due while max_active_runs are running.';
comment on column dags.paused is 'Ticks are recorded as skipped and waiting scheduled or backfill runs stay queued.';
comment on column dags.present is 'Whether the file still defines it. An absent dag keeps its history and is not scheduled.';
comment on column dags.last_was_backfill is 'Whether the run promoted last was a backfill; the other sort goes first next time.';
comment on column dags.registered_at is 'When the dag was first seen.';
comment on column dags.changed_at is 'When the newest version was registered.';
comment on column dags.absent_at is 'When the file was found gone; null while present.';

create table dag_versions (
    id bigint generated always as identity primary key,
    dag_id text not null references dags,
    version integer not null check (version >= 1),
    content_hash bytea not null check (length(content_hash) = 32),
    file text not null,
    spec json not null,
    source text not null,
    created_at timestamptz not null,
    unique (dag_id, version)
);
alter table dags add foreign key (version_id) references dag_versions;
comment on table dag_versions is 'Immutable: each change of a dag makes a new row, and a run is pinned to one.';
comment on column dag_versions.id is 'Internal id; what runs point to.';
comment on column dag_versions.dag_id is 'The dag.';
comment on column dag_versions.version is 'Counts from 1 within the dag.';
comment on column dag_versions.content_hash is 'SHA-256 of the checked dag and its source; the same hash makes no new version.';
comment on column dag_versions.file is 'The file it came from.';
comment on column dag_versions.spec is 'The checked dag (`model::Dag`) as JSON.';
comment on column dag_versions.source is 'The YAML text.';
comment on column dag_versions.created_at is 'When it was registered.';

create table dag_problems (
    file text not null,
    position integer not null check (position >= 0),
    line integer not null check (line >= 0),
    col integer not null check (col >= 0),
    message text not null,
    hint text,
    found_at timestamptz not null,
    primary key (file, position)
);
comment on table dag_problems is 'What is wrong with dag files now; replaced at each load of a file.';
comment on column dag_problems.file is 'The file, relative to the dags folder.';
comment on column dag_problems.position is 'Order within the file, from 0.';
comment on column dag_problems.line is 'Counts from 1; 0 is the file as a whole.';
comment on column dag_problems.col is 'Counts from 1; 0 is the line as a whole.';
comment on column dag_problems.message is 'What is wrong.';
comment on column dag_problems.hint is 'What to do; null if the message says it.';
comment on column dag_problems.found_at is 'When the load that found it took place.';

-- Runs and ticks -----------------------------------------------------------------------------------------------------

create table runs (
    id bigint generated always as identity primary key,
    dag_id text not null references dags,
    run_id text not null check (run_id <> ''),
    version_id bigint not null references dag_versions,
    run_type text not null check (run_type in ('scheduled', 'manual', 'backfill')),
    state text not null check (state in ('queued', 'running', 'success', 'failed', 'cancelled')),
    window_start timestamptz,
    window_end timestamptz,
    logical_date timestamptz,
    run_after timestamptz not null,
    params json not null,
    requested_by text not null,
    note text,
    clears integer not null default 0 check (clears >= 0),
    queued_at timestamptz not null,
    started_at timestamptz,
    ended_at timestamptz,
    cancel_requested_at timestamptz,
    wake_at timestamptz,
    unique (dag_id, run_id),
    constraint runs_window_is_an_interval check ((window_start is null) = (window_end is null) and window_start < window_end),
    constraint runs_queued_has_not_begun check (state <> 'queued' or (started_at is null and ended_at is null and cancel_requested_at is null)),
    constraint runs_running_has_begun check (state <> 'running' or (started_at is not null and ended_at is null)),
    constraint runs_final_has_ended check (state in ('queued', 'running') or ended_at is not null),
    constraint runs_success_has_begun check (state <> 'success' or started_at is not null),
    constraint runs_only_running_wakes check (wake_at is null or state = 'running')
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500);
create index runs_by_dag_idx on runs (dag_id, run_after desc, id desc);
create index runs_queued_idx on runs (dag_id, run_after, id) where state = 'queued';
create index runs_running_idx on runs (dag_id, id) where state = 'running';
create index runs_wake_idx on runs (wake_at) where wake_at is not null;
create trigger runs_state_guard before update of state on runs
    for each row when (old.state <> new.state and not run_may_become(old.state, new.state))
    execute function refuse_transition();
comment on table runs is 'Executions of dag versions.';
comment on column runs.id is 'Internal id.';
comment on column runs.dag_id is 'The dag.';
comment on column runs.run_id is 'The public id, unique within the dag.';
comment on column runs.version_id is 'The version that it executes, for its whole life.';
comment on column runs.run_type is 'Who asked: the schedule, a person, or a backfill.';
comment on column runs.state is 'queued, running, then success, failed or cancelled; clearing leads back to queued.';
comment on column runs.window_start is 'First instant of the data interval; null if the dag has no windows.';
comment on column runs.window_end is 'The interval ends before this instant.';
comment on column runs.logical_date is 'The tick, or the date given by the caller; null if none was.';
comment on column runs.run_after is 'It may not start before this instant.';
comment on column runs.params is 'The checked parameters, an object.';
comment on column runs.requested_by is 'The user, or `scheduler`.';
comment on column runs.note is 'Free text for people.';
comment on column runs.clears is 'How often it was cleared. Overlap rules concern only runs that never were.';
comment on column runs.queued_at is 'When it was created, or cleared last.';
comment on column runs.started_at is 'When it became running; null while queued.';
comment on column runs.ended_at is 'When it became final.';
comment on column runs.cancel_requested_at is 'When its end was asked for, while it was running.';
comment on column runs.wake_at is 'When a running run must be looked at again (retry, poke, cancel) if nothing happens before; null if only an end can move it.';

create table ticks (
    dag_id text not null references dags,
    tick_at timestamptz not null,
    decision text not null check (decision in ('ran', 'skipped', 'merged')),
    run bigint references runs on delete set null,
    reason text,
    merged_into timestamptz,
    decided_at timestamptz not null,
    primary key (dag_id, tick_at),
    constraint ticks_skipped_has_a_reason check (decision <> 'skipped' or reason is not null),
    constraint ticks_merged_into_a_later check ((decision = 'merged') = (merged_into is not null) and merged_into > tick_at)
);
create index ticks_run_idx on ticks (run) where run is not null;
comment on table ticks is 'The ledger: exactly one row for each time a dag should have fired.';
comment on column ticks.dag_id is 'The dag.';
comment on column ticks.tick_at is 'When it should have fired.';
comment on column ticks.decision is 'ran, skipped (why), or merged (into which later tick).';
comment on column ticks.run is 'The run it led to; null if none, or if the run was pruned. A run skipped for overlap stays named.';
comment on column ticks.reason is 'Why it was skipped.';
comment on column ticks.merged_into is 'The later tick whose run covers this one.';
comment on column ticks.decided_at is 'When the planner wrote the row, or overlap changed it.';

create table task_instances (
    run bigint not null references runs on delete cascade,
    task integer not null check (task >= 0),
    map_index integer not null check (map_index >= -1),
    task_id text not null,
    state text not null default 'none' check (state in ('none', 'queued', 'running', 'up_for_retry', 'up_for_reschedule',
        'success', 'failed', 'skipped', 'upstream_failed', 'cancelled')),
    try_number integer not null default 0 check (try_number >= 0),
    failures integer not null default 0 check (failures >= 0),
    losses integer not null default 0 check (losses >= 0),
    next_at timestamptz,
    started_at timestamptz,
    ended_at timestamptz,
    outputs json,
    message text,
    primary key (run, task, map_index),
    constraint task_instances_waiting_has_a_time check ((state in ('up_for_retry', 'up_for_reschedule')) = (next_at is not null)),
    constraint task_instances_running_has_begun check (state <> 'running' or started_at is not null),
    constraint task_instances_final_has_ended
        check ((state in ('success', 'failed', 'skipped', 'upstream_failed', 'cancelled')) = (ended_at is not null)),
    constraint task_instances_outputs_of_success check (outputs is null or state in ('success', 'skipped'))
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_limit = 1000);
-- Few instances have outputs: a claim finds those of a run without reading all its instances.
create index task_instances_outputs_idx on task_instances (run) where outputs is not null;
-- Queueing and claiming in one commit is the one shortcut: what may become queued may be written as running.
create trigger task_instances_state_guard before update of state on task_instances
    for each row when (old.state <> new.state and not task_may_become(old.state, new.state)
        and not (new.state = 'running' and task_may_become(old.state, 'queued')))
    execute function refuse_transition();
comment on table task_instances is 'One row for each task of a run and each item of its for_each: its state now. Made when the run starts.';
comment on column task_instances.run is 'The run (runs.id).';
comment on column task_instances.task is 'Position in the tasks of the run''s dag version.';
comment on column task_instances.map_index is 'Which item of for_each; -1 for a plain task.';
comment on column task_instances.task_id is 'The task''s id, copied from the version for pages.';
comment on column task_instances.state is 'queued or running exactly while a row in attempts stands for it.';
comment on column task_instances.try_number is 'Tries so far; pokes of one try count once; clearing does not reset it.';
comment on column task_instances.failures is 'Tries that failed or timed out since it was last cleared.';
comment on column task_instances.losses is 'Tries lost with their node since it was last cleared.';
comment on column task_instances.next_at is 'When a waiting instance (up_for_retry, up_for_reschedule) is due; null otherwise.';
comment on column task_instances.started_at is 'When its newest try, or the first poke of it, began; null before.';
comment on column task_instances.ended_at is 'When it became final; null otherwise.';
comment on column task_instances.outputs is 'What the task gave to later ones; null if nothing.';
comment on column task_instances.message is 'Why it is in this state, for people.';

-- Attempts -----------------------------------------------------------------------------------------------------------

create sequence attempt_leases;
comment on sequence attempt_leases is 'Fencing tokens: each claim takes the next.';

-- No foreign keys here: each row is written under its run''s lock, and this table is the hottest.
create table attempts (
    id bigint generated always as identity primary key,
    run bigint not null,
    task integer not null,
    map_index integer not null,
    try_number integer not null check (try_number >= 1),
    state text not null check (state in ('queued', 'running')),
    queue text not null,
    route text,
    priority integer not null,
    is_service boolean not null,
    lease bigint,
    node uuid,
    queued_at timestamptz not null,
    started_at timestamptz,
    ready_at timestamptz,
    stop_requested_at timestamptz,
    stop_reason text,
    constraint attempts_running_is_held check ((state = 'running') = (lease is not null)
        and (lease is null) = (node is null) and (lease is null) = (started_at is null)),
    constraint attempts_only_running_is_ready check (ready_at is null or state = 'running'),
    constraint attempts_only_running_is_stopped check (stop_requested_at is null or state = 'running'),
    constraint attempts_stop_has_a_reason check ((stop_requested_at is null) = (stop_reason is null))
) with (fillfactor = 60, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500,
    autovacuum_vacuum_cost_limit = 2000, autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 5000);
create unique index attempts_one_live_idx on attempts (run, task, map_index);
create index attempts_claim_idx on attempts (is_service, priority desc, id) where state = 'queued';
create index attempts_node_idx on attempts (node) where state = 'running';
comment on table attempts is 'Live attempts only, thin and hot; a finished one moves to attempt_history under the same id.';
comment on column attempts.id is 'Unique over all attempts ever.';
comment on column attempts.run is 'The run (runs.id).';
comment on column attempts.task is 'Position in the tasks of the run''s dag version.';
comment on column attempts.map_index is 'Which item of for_each; -1 for a plain task.';
comment on column attempts.try_number is 'Which try of the instance; pokes of one try share it.';
comment on column attempts.state is 'queued: any fitting node may claim it; running: a node holds it.';
comment on column attempts.queue is 'Which workers may take it.';
comment on column attempts.route is 'What its node must own (such as warehouse); null for any node.';
comment on column attempts.priority is 'Higher first.';
comment on column attempts.is_service is 'Takes a service slot, not a task slot.';
comment on column attempts.lease is 'The fencing token of the claim; null while queued.';
comment on column attempts.node is 'The node that holds it; null while queued. The lease lives as long as the node''s heartbeat.';
comment on column attempts.queued_at is 'When it was made.';
comment on column attempts.started_at is 'When it was claimed.';
comment on column attempts.ready_at is 'When the service said that it is ready; null before, and for tasks.';
comment on column attempts.stop_requested_at is 'When its node was asked to stop it; null if it was not.';
comment on column attempts.stop_reason is 'Why it should stop.';

create table attempt_history (
    id bigint primary key,
    run bigint not null,
    task integer not null,
    map_index integer not null,
    try_number integer not null,
    is_service boolean not null,
    node uuid,
    node_name text,
    lease bigint,
    queued_at timestamptz not null,
    started_at timestamptz,
    ready_at timestamptz,
    stop_requested_at timestamptz,
    ended_at timestamptz not null,
    ending text not null check (ending in ('done', 'skipped', 'poke', 'failed', 'failed_for_good', 'timed_out', 'cancelled', 'lost')),
    next_state text not null,
    message text,
    outputs json
);
create index attempt_history_instance_idx on attempt_history (run, task, map_index, id);
comment on table attempt_history is 'Finished attempts; written once, never changed.';
comment on column attempt_history.id is 'The id that it had in attempts.';
comment on column attempt_history.run is 'The run (runs.id).';
comment on column attempt_history.task is 'Position in the tasks of the run''s dag version.';
comment on column attempt_history.map_index is 'Which item of for_each; -1 for a plain task.';
comment on column attempt_history.try_number is 'Which try of the instance.';
comment on column attempt_history.is_service is 'Whether it was a service.';
comment on column attempt_history.node is 'The node that held it; null if it ended while queued.';
comment on column attempt_history.node_name is 'That node''s name, kept when the node is forgotten.';
comment on column attempt_history.lease is 'The fencing token it ended under; null if it ended while queued.';
comment on column attempt_history.queued_at is 'When it was made.';
comment on column attempt_history.started_at is 'When it was claimed; null if it never was.';
comment on column attempt_history.ready_at is 'When the service was ready; null if it never was.';
comment on column attempt_history.stop_requested_at is 'When it was asked to stop; null if it was not.';
comment on column attempt_history.ended_at is 'When it ended.';
comment on column attempt_history.ending is 'How it ended, as the worker or the reaper saw it.';
comment on column attempt_history.next_state is 'The state that its instance took by this end.';
comment on column attempt_history.message is 'What the worker said about the end.';
comment on column attempt_history.outputs is 'What it gave to later tasks; null if nothing.';

create table service_status (
    attempt_id bigint primary key,
    run bigint not null,
    task integer not null,
    map_index integer not null,
    status json not null,
    at timestamptz not null
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);
create index service_status_run_idx on service_status (run);
comment on table service_status is 'The newest figures of each service attempt; kept after its end.';
comment on column service_status.attempt_id is 'The attempt, live or finished.';
comment on column service_status.run is 'Its run (runs.id).';
comment on column service_status.task is 'Position in the tasks of the run''s dag version.';
comment on column service_status.map_index is 'Which item of for_each; -1 for a plain task.';
comment on column service_status.status is 'The figures, as the service gave them.';
comment on column service_status.at is 'When it gave them.';

-- Nodes --------------------------------------------------------------------------------------------------------------

create table nodes (
    id uuid primary key,
    name text not null,
    host text not null,
    pid integer not null,
    http_url text,
    version text not null,
    registered_at timestamptz not null,
    last_seen_at timestamptz not null,
    ended_at timestamptz,
    ended_reason text,
    check ((ended_at is null) = (ended_reason is null))
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);
comment on table nodes is 'Processes that run the engine. A node is live while ended_at is null.';
comment on column nodes.id is 'Made by the node at its start.';
comment on column nodes.name is 'For people.';
comment on column nodes.host is 'Where it runs.';
comment on column nodes.pid is 'Its process there.';
comment on column nodes.http_url is 'Where other nodes reach its web server; null if it has none.';
comment on column nodes.version is 'Of its binary.';
comment on column nodes.registered_at is 'When it registered.';
comment on column nodes.last_seen_at is 'Its newest heartbeat; not indexed, so that a heartbeat stays cheap.';
comment on column nodes.ended_at is 'When it left or was given up; null while live.';
comment on column nodes.ended_reason is 'Why it is not live any more.';

create table duties (
    name text primary key,
    node uuid not null,
    term bigint not null check (term >= 1),
    expires_at timestamptz not null
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);
comment on table duties is 'Work that needs one owner: planner, reaper, route:warehouse.';
comment on column duties.name is 'The duty.';
comment on column duties.node is 'Who has it, or had it last.';
comment on column duties.term is 'Grows with each change of owner.';
comment on column duties.expires_at is 'Until when the owner has it without renewing.';
