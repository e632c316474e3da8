-- Two writers that opened the same day at once could both try to create its partition: `to_regclass` asks a cache that an advisory
-- lock does not refresh. A scan of the catalog under the lock sees what the other has committed.

create or replace function ensure_log_partition(day date) returns void
language plpgsql as $$
declare
    part text := 'logs_' || to_char(day, 'YYYYMMDD');
begin
    if exists (select 1 from pg_class where relname = part and relnamespace = current_schema()::regnamespace) then
        return;
    end if;
    perform pg_advisory_xact_lock(hashtext('streamify.logs'));
    if exists (select 1 from pg_class where relname = part and relnamespace = current_schema()::regnamespace) then
        return;
    end if;
    execute format('create table %I (like logs including defaults including constraints)', part);
    execute format('alter table logs attach partition %I for values from (%L) to (%L)', part,
        day::timestamp at time zone 'UTC', (day + 1)::timestamp at time zone 'UTC');
end
$$;
