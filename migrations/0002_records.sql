-- What is told and written down: logs, checks on data, the audit log, users and tokens.

create table logs (
    attempt_id bigint not null,
    seq integer not null check (seq >= 0),
    at timestamptz not null,
    stream text not null check (stream in ('stdout', 'stderr', 'system')),
    line text not null,
    primary key (attempt_id, seq, at)
) partition by range (at);
comment on table logs is 'Lines of attempts, shipped while they run; a partition a day (UTC), so that forgetting old ones is one drop.';
comment on column logs.attempt_id is 'The attempt, live or finished.';
comment on column logs.seq is 'Counts from 0 within the attempt.';
comment on column logs.at is 'When the line was written.';
comment on column logs.stream is 'stdout, stderr, or system (the engine and the kind).';
comment on column logs.line is 'The text, without its end of line.';

-- Attaching needs only a lock that writers do not notice; `create table .. partition of` would stop them.
create function ensure_log_partition(day date) returns void
language plpgsql as $$
declare
    part text := 'logs_' || to_char(day, 'YYYYMMDD');
begin
    if to_regclass(part) is not null then
        return;
    end if;
    perform pg_advisory_xact_lock(hashtext('streamify.logs'));
    if to_regclass(part) is not null then
        return;
    end if;
    execute format('create table %I (like logs including defaults including constraints)', part);
    execute format('alter table logs attach partition %I for values from (%L) to (%L)', part,
        day::timestamp at time zone 'UTC', (day + 1)::timestamp at time zone 'UTC');
end
$$;

create table checks (
    id bigint generated always as identity primary key,
    attempt_id bigint not null,
    run bigint not null references runs on delete cascade,
    task integer not null,
    map_index integer not null,
    name text not null,
    subject text not null,
    severity text not null check (severity in ('error', 'warn')),
    status text not null check (status in ('pass', 'warn', 'fail')),
    value double precision not null,
    bounds text not null,
    sample json not null,
    sql text,
    at timestamptz not null,
    unique (attempt_id, name)
);
create index checks_run_idx on checks (run);
create index checks_name_idx on checks (name, at desc);
create index checks_bad_idx on checks (at desc) where status <> 'pass';
comment on table checks is 'Results of tests on data.';
comment on column checks.id is 'Internal id.';
comment on column checks.attempt_id is 'The attempt that measured it.';
comment on column checks.run is 'Its run (runs.id).';
comment on column checks.task is 'Position in the tasks of the run''s dag version.';
comment on column checks.map_index is 'Which item of for_each; -1 for a plain task.';
comment on column checks.name is 'Unique in its project; the same over runs.';
comment on column checks.subject is 'What is tested: a model, a topic, a table.';
comment on column checks.severity is 'error blocks what is downstream, warn reports.';
comment on column checks.status is 'pass, warn or fail.';
comment on column checks.value is 'The measured value.';
comment on column checks.bounds is 'What was allowed, in words.';
comment on column checks.sample is 'At most 20 failing rows, an array of objects.';
comment on column checks.sql is 'The query that measured it; null if it was not one.';
comment on column checks.at is 'When it was measured.';

create table audit_log (
    id bigint generated always as identity primary key,
    at timestamptz not null,
    who text not null,
    action text not null,
    subject text not null,
    details json not null
);
create index audit_log_subject_idx on audit_log (subject, id desc);
comment on table audit_log is 'Who did what, when, and to what; only ever appended to.';
comment on column audit_log.id is 'Internal id, in order.';
comment on column audit_log.at is 'When.';
comment on column audit_log.who is 'The user, or the part of the system.';
comment on column audit_log.action is 'What, such as run.trigger.';
comment on column audit_log.subject is 'To what, such as hourly/manual__1.';
comment on column audit_log.details is 'The rest, an object; never secrets.';

create table users (
    id bigint generated always as identity primary key,
    name text not null unique check (name <> ''),
    role text not null check (role in ('viewer', 'operator', 'admin')),
    password_hash text,
    created_at timestamptz not null,
    changed_at timestamptz not null
);
comment on table users is 'People and programs that may log in.';
comment on column users.id is 'Internal id.';
comment on column users.name is 'What is typed at the login.';
comment on column users.role is 'viewer, operator or admin.';
comment on column users.password_hash is 'argon2, in PHC form; null: no login by password.';
comment on column users.created_at is 'When it was created.';
comment on column users.changed_at is 'When role or password changed last.';

create table tokens (
    sha256 bytea primary key check (length(sha256) = 32),
    user_id bigint not null references users on delete cascade,
    kind text not null check (kind in ('session', 'api', 'login_link')),
    label text not null,
    created_at timestamptz not null,
    expires_at timestamptz,
    used_at timestamptz,
    constraint tokens_only_links_are_used_up check (used_at is null or kind = 'login_link')
);
create index tokens_user_idx on tokens (user_id);
comment on table tokens is 'Sessions, API tokens and login links. The token itself is never stored.';
comment on column tokens.sha256 is 'SHA-256 of the token.';
comment on column tokens.user_id is 'Whose it is.';
comment on column tokens.kind is 'session (cookie), api (bearer), login_link (works once).';
comment on column tokens.label is 'For people: which browser, which program.';
comment on column tokens.created_at is 'When it was made.';
comment on column tokens.expires_at is 'From when it is worth nothing; null: never.';
comment on column tokens.used_at is 'When a login link was used up; null otherwise.';
