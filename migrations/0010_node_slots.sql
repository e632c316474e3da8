-- What a node offers, so that one can see how much of it is taken.

-- Expand only: nodes of the version before leave them null.
alter table nodes
    add column task_slots integer check (task_slots >= 0),
    add column service_slots integer check (service_slots >= 0);
comment on column nodes.task_slots is 'Tasks that it runs at once at most, 0 if it runs none; null from a version that does not say it.';
comment on column nodes.service_slots is 'The same for services.';
