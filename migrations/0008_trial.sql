-- What a first trial of everything asked for: services that are stopped between two tries end well, and ticks that were missed by the
-- thousand share a row.

-- A service that is drained while it waits for its restart has succeeded, as one that runs then.
create or replace function task_may_become(from_state text, to_state text) returns boolean
language sql immutable parallel safe
return case from_state
    when 'none' then to_state in ('queued', 'success', 'failed', 'skipped', 'upstream_failed', 'cancelled')
    when 'queued' then to_state in ('running', 'none', 'up_for_retry', 'failed', 'cancelled')
    when 'running' then to_state in ('success', 'failed', 'skipped', 'up_for_retry', 'up_for_reschedule', 'cancelled')
    when 'up_for_retry' then to_state in ('queued', 'success', 'failed', 'cancelled', 'none')
    when 'up_for_reschedule' then to_state in ('queued', 'success', 'failed', 'cancelled', 'none')
    else to_state = 'none'
end;

alter table ticks
    add column first_at timestamptz,
    add column ticks bigint not null default 1,
    add constraint ticks_of_a_span check ((first_at is null) = (ticks = 1) and ticks >= 1 and first_at < tick_at) not valid,
    add constraint ticks_spans_are_skipped check (first_at is null or decision = 'skipped') not valid;
comment on column ticks.first_at is 'Of many ticks skipped for the same reason that share the row: the first, tick_at being the last. Null for one tick.';
comment on column ticks.ticks is 'How many ticks the row stands for.';

alter table backfills add column runs_taken integer not null default 0 check (runs_taken >= 0);
comment on column backfills.runs_taken is 'How many of its runs a later backfill runs again: they are that one''s now.';
