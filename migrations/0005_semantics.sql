-- Everything that a run can do: mapped tasks whose items are known late, pools, branches, retries of groups and runs, deadlines,
-- approvals, assets, backfills, notifications. Expands only: what is there stays readable by the version before.

-- A mapped task whose items cannot be told fails before it began; a person may mark what waits.
create or replace function task_may_become(from_state text, to_state text) returns boolean
language sql immutable parallel safe
return case from_state
    when 'none' then to_state in ('queued', 'success', 'failed', 'skipped', 'upstream_failed', 'cancelled')
    when 'queued' then to_state in ('running', 'none', 'up_for_retry', 'failed', 'cancelled')
    when 'running' then to_state in ('success', 'failed', 'skipped', 'up_for_retry', 'up_for_reschedule', 'cancelled')
    when 'up_for_retry' then to_state in ('queued', 'failed', 'cancelled', 'none')
    when 'up_for_reschedule' then to_state in ('queued', 'failed', 'cancelled', 'none')
    else to_state = 'none'
end;

create table mapped_items (
    run bigint not null references runs on delete cascade,
    task integer not null check (task >= 0),
    items json not null,
    primary key (run, task)
);
comment on table mapped_items is 'The items of mapped tasks that were not known before the task could start.';
comment on column mapped_items.run is 'The run (runs.id).';
comment on column mapped_items.task is 'Position in the tasks of the run''s dag version.';
comment on column mapped_items.items is 'An array; the position of an item is its map index.';

-- Pools --------------------------------------------------------------------------------------------------------------

create table pools (
    name text primary key check (name <> ''),
    slots integer not null check (slots >= 0),
    description text not null default '',
    changed_at timestamptz not null
);
comment on table pools is 'Limits over all dags. What a pool uses is counted from live attempts, never kept.';
comment on column pools.name is 'The name in `pool:`.';
comment on column pools.slots is 'Most slots that running attempts of it take together; 0 stops it.';
comment on column pools.description is 'For people.';
comment on column pools.changed_at is 'When it was made or changed last.';

alter table attempts
    add column pool text,
    add column pool_slots integer not null default 1 check (pool_slots >= 1),
    add column limit_key text,
    add column limit_slots integer check ((limit_key is null) = (limit_slots is null));
create index attempts_pool_idx on attempts (pool) where pool is not null;
create index attempts_limit_idx on attempts (limit_key) where limit_key is not null;
comment on column attempts.pool is 'The pool that it takes slots of while it runs; null for none.';
comment on column attempts.pool_slots is 'How many.';
comment on column attempts.limit_key is 'What counts together for a limit of its own (`dag/task`, from max_active); null for none.';
comment on column attempts.limit_slots is 'Most running attempts with this key.';

-- Runs ---------------------------------------------------------------------------------------------------------------

create table backfills (
    id bigint generated always as identity primary key,
    dag_id text not null references dags,
    from_at timestamptz not null,
    to_at timestamptz not null,
    reprocess text not null check (reprocess in ('none', 'failed', 'completed')),
    max_active_runs integer not null check (max_active_runs >= 1),
    run_backwards boolean not null default false,
    params json not null,
    state text not null check (state in ('running', 'paused', 'completed', 'cancelled')),
    requested_by text not null,
    reason text not null default '',
    runs_planned integer not null default 0,
    created_at timestamptz not null,
    ended_at timestamptz,
    check (from_at < to_at),
    check ((state in ('completed', 'cancelled')) = (ended_at is not null))
);
create index backfills_dag_idx on backfills (dag_id, id desc);
create index backfills_open_idx on backfills (dag_id) where ended_at is null;
comment on table backfills is 'Plans to run past ticks, with a budget of their own.';
comment on column backfills.id is 'Its public id.';
comment on column backfills.dag_id is 'The dag.';
comment on column backfills.from_at is 'First tick that it may cover.';
comment on column backfills.to_at is 'Ticks before this instant.';
comment on column backfills.reprocess is 'Ticks that have a run already: none (left alone), failed (those that failed), completed (all that ended).';
comment on column backfills.max_active_runs is 'Most of its runs at once; they do not count for the dag''s own limit.';
comment on column backfills.run_backwards is 'Its newest run first.';
comment on column backfills.params is 'Given to each run, an object.';
comment on column backfills.state is 'running, paused, then completed or cancelled.';
comment on column backfills.requested_by is 'Who asked.';
comment on column backfills.reason is 'Why, in the words of who asked.';
comment on column backfills.runs_planned is 'How many runs it made or cleared.';
comment on column backfills.created_at is 'When it was asked for.';
comment on column backfills.ended_at is 'When its last run ended or it was cancelled; null while open.';

alter table runs drop constraint runs_run_type_check;
alter table runs add constraint runs_run_type_check check (run_type in ('scheduled', 'manual', 'backfill', 'asset_triggered'));
alter table runs
    add column backfill bigint references backfills,
    add column retries json not null default '{}',
    add column revision bigint not null default 0;
create index runs_backfill_idx on runs (backfill) where backfill is not null;
create index runs_by_logical_date_idx on runs (dag_id, logical_date) where logical_date is not null;
create index runs_by_window_idx on runs (dag_id, window_start, window_end) where window_start is not null;
comment on column runs.run_type is 'Who asked: the schedule, a person or a task, a backfill, or assets.';
comment on column runs.backfill is 'The backfill that made it or clears it; null if none.';
comment on column runs.retries is 'Retries used by the run ("") and by its groups (their ids): {"<group>": {"used": n, "until": instant}}.';
comment on column runs.revision is 'Grows with each change of the run or its instances; a node''s copy of them is good while it stands.';

-- Deadlines and notifications ------------------------------------------------------------------------------------------

create table deadlines (
    run bigint not null references runs on delete cascade,
    task integer not null check (task >= -1),
    due_at timestamptz not null,
    missed_at timestamptz,
    primary key (run, task)
);
create index deadlines_due_idx on deadlines (due_at) where missed_at is null;
comment on table deadlines is 'Instants by which a run or a task of it should have ended; made when the run is.';
comment on column deadlines.run is 'The run (runs.id).';
comment on column deadlines.task is 'Position of the task; -1 for the run itself.';
comment on column deadlines.due_at is 'By when. Rows that were kept are removed.';
comment on column deadlines.missed_at is 'When it was found missed; null while it may still be kept.';

create table notifications (
    id bigint generated always as identity primary key,
    event text not null check (event in ('failure', 'success', 'recovery', 'deadline')),
    run bigint not null references runs on delete cascade,
    task integer,
    target json not null,
    body json not null,
    state text not null check (state in ('waiting', 'sent', 'dead')),
    tries integer not null default 0,
    next_at timestamptz,
    error text,
    created_at timestamptz not null,
    sent_at timestamptz,
    check ((state = 'waiting') = (next_at is not null)),
    check ((state = 'sent') = (sent_at is not null))
);
create index notifications_waiting_idx on notifications (next_at) where state = 'waiting';
create index notifications_run_idx on notifications (run);
comment on table notifications is 'What people are to be told; written with the event, sent at least once.';
comment on column notifications.id is 'Internal id; also told, so that a receiver can drop a repetition.';
comment on column notifications.event is 'failure, success, recovery or deadline.';
comment on column notifications.run is 'The run (runs.id).';
comment on column notifications.task is 'For a deadline of a task: its position.';
comment on column notifications.target is 'Where to (`model::notify::Target`), templates not rendered: no secrets.';
comment on column notifications.body is 'What (`model::notify::Notice` without id and target).';
comment on column notifications.state is 'waiting, sent, or dead after too many tries.';
comment on column notifications.tries is 'How often it was tried.';
comment on column notifications.next_at is 'When it is tried next.';
comment on column notifications.error is 'Why the last try failed.';
comment on column notifications.created_at is 'When the event was.';
comment on column notifications.sent_at is 'When the receiver took it.';

-- People -------------------------------------------------------------------------------------------------------------

create table approvals (
    run bigint not null references runs on delete cascade,
    task integer not null,
    map_index integer not null,
    prompt text not null,
    asked_at timestamptz not null,
    decision text check (decision in ('approved', 'rejected')),
    decided_by text,
    decided_at timestamptz,
    comment text not null default '',
    primary key (run, task, map_index),
    check ((decision is null) = (decided_at is null) and (decision is null) = (decided_by is null))
);
create index approvals_open_idx on approvals (asked_at) where decision is null;
comment on table approvals is 'Questions to people (`approve`); removed when the instance is cleared.';
comment on column approvals.run is 'The run (runs.id).';
comment on column approvals.task is 'Position in the tasks of the run''s dag version.';
comment on column approvals.map_index is 'Which item of for_each; -1 for a plain task.';
comment on column approvals.prompt is 'The question.';
comment on column approvals.asked_at is 'When it was asked.';
comment on column approvals.decision is 'approved or rejected; null while open.';
comment on column approvals.decided_by is 'Who decided.';
comment on column approvals.decided_at is 'When.';
comment on column approvals.comment is 'Why, in their words.';

-- Assets -------------------------------------------------------------------------------------------------------------

create table asset_events (
    id bigint generated always as identity primary key,
    asset text not null,
    run bigint references runs on delete set null,
    task integer,
    map_index integer,
    who text not null,
    at timestamptz not null
);
create index asset_events_asset_idx on asset_events (asset, id desc);
comment on table asset_events is 'Each time an asset was written.';
comment on column asset_events.id is 'In order.';
comment on column asset_events.asset is 'Its name, as in `writes:`.';
comment on column asset_events.run is 'The run that wrote it; null if something outside did, or the run was pruned.';
comment on column asset_events.task is 'Position of the task that wrote it; null if something outside did.';
comment on column asset_events.map_index is 'Its map index.';
comment on column asset_events.who is '`dag/run/task`, or the user who told it.';
comment on column asset_events.at is 'When.';

create table asset_subscriptions (
    dag_id text not null references dags,
    asset text not null,
    primary key (dag_id, asset)
);
create index asset_subscriptions_asset_idx on asset_subscriptions (asset);
comment on table asset_subscriptions is 'Which assets trigger which present dags.';
comment on column asset_subscriptions.dag_id is 'The dag.';
comment on column asset_subscriptions.asset is 'The asset.';

create table asset_queue (
    dag_id text not null,
    asset text not null,
    event bigint not null references asset_events on delete cascade,
    primary key (dag_id, event)
);
comment on table asset_queue is 'Events that a dag which they trigger has not run for yet. Rows, not a cursor: events do not commit in the order of their ids.';
comment on column asset_queue.dag_id is 'The dag.';
comment on column asset_queue.asset is 'The asset.';
comment on column asset_queue.event is 'The event.';

create function queue_asset_events() returns trigger
language plpgsql as $$
begin
    insert into asset_queue (dag_id, asset, event)
    select s.dag_id, w.asset, w.id from written w join asset_subscriptions s on s.asset = w.asset;
    return null;
end
$$;
create trigger asset_events_queue after insert on asset_events
    referencing new table as written for each statement execute function queue_asset_events();

-- Schedules that no clock moves are found without reading all dags.
alter table dags add column schedule_kind text not null default 'ticks'
    check (schedule_kind in ('manual', 'ticks', 'continuous', 'assets'));
create index dags_continuous_idx on dags (dag_id) where present and schedule_kind = 'continuous';
comment on column dags.schedule_kind is 'What moves the newest version''s schedule: nothing, the clock, the end of its run, assets.';
