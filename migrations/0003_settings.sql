-- What nodes on one database share.
create table settings (
    name       text primary key,
    value      text not null,
    updated_at timestamptz not null
);

comment on table settings is 'Where the servers are that all nodes use; a node that embeds one writes it here';
comment on column settings.name is 'The setting, as in streamify.toml';
comment on column settings.value is 'Its value; never a secret';
comment on column settings.updated_at is 'When it last changed';
