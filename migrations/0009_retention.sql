-- What is forgotten with time, and where old log lines went. Expands only.

alter table ticks add column pruned_at timestamptz;
comment on column ticks.pruned_at is 'When the run of this tick was pruned: it ran, and a backfill does not take it for a gap. Null while there is a run, or never was one.';

create table log_bundles (
    day date not null,
    number integer not null check (number >= 1),
    object text not null,
    root text not null,
    first_attempt bigint not null,
    first_seq integer not null,
    last_attempt bigint not null,
    last_seq integer not null,
    lines bigint not null check (lines >= 1),
    bytes bigint not null,
    sha256 bytea not null check (length(sha256) = 32),
    written_at timestamptz not null,
    primary key (day, number),
    check ((first_attempt, first_seq) <= (last_attempt, last_seq))
);
create index log_bundles_attempts_idx on log_bundles (last_attempt, first_attempt);
comment on table log_bundles is 'Files outside with old log lines: gzip, one JSON object a line, in the order of attempt and line. A row is written when its file was read back.';
comment on column log_bundles.day is 'The day (UTC) of its lines.';
comment on column log_bundles.number is 'Counts from 1 within the day.';
comment on column log_bundles.object is 'Its name below the root.';
comment on column log_bundles.root is 'The URL under which it was written; for people, the name alone finds it.';
comment on column log_bundles.first_attempt is 'Attempt of its first line.';
comment on column log_bundles.first_seq is 'That line''s number within the attempt.';
comment on column log_bundles.last_attempt is 'Attempt of its last line.';
comment on column log_bundles.last_seq is 'That line''s number within the attempt.';
comment on column log_bundles.lines is 'How many lines it has.';
comment on column log_bundles.bytes is 'Its size.';
comment on column log_bundles.sha256 is 'Of the file as it is stored.';
comment on column log_bundles.written_at is 'When.';

create table prunings (
    what text primary key,
    removed bigint not null check (removed >= 0),
    last_at timestamptz not null
);
comment on table prunings is 'What was pruned so far.';
comment on column prunings.what is 'Which rows (runs, ticks, log_lines, ..), or `passes`.';
comment on column prunings.removed is 'How many since the beginning.';
comment on column prunings.last_at is 'When some went last.';

-- The schema as old nodes need it: a migration that takes something away says which migration a binary must know to go on without it.
create table schema_contracts (
    migration bigint primary key,
    needs bigint not null,
    check (needs <= migration)
);
comment on table schema_contracts is 'Migrations after which older binaries cannot work.';
comment on column schema_contracts.migration is 'The migration that took something away.';
comment on column schema_contracts.needs is 'The newest migration that a binary must know to work after it.';
insert into schema_contracts (migration, needs) values (6, 6);

-- Drops the partition of a day, if it holds no more lines than the caller has put elsewhere (null: whatever it holds). False: it holds more. Writers of that day wait meanwhile; writers of other days wait for the drop itself, and the lock is not waited for long.
create function drop_log_partition(p_day date, p_lines bigint) returns boolean
language plpgsql set lock_timeout = '500ms' as $$
declare
    part text := 'logs_' || to_char(p_day, 'YYYYMMDD');
    held bigint;
begin
    execute format('lock table %I in share mode', part);
    if p_lines is not null then
        execute format('select count(*) from %I', part) into held;
        if held > p_lines then
            return false;
        end if;
    end if;
    execute format('drop table %I', part);
    return true;
end
$$;
