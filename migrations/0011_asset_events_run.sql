-- no-transaction
-- Removing a run looks for its events. Built beside the writers.
create index concurrently if not exists asset_events_run_idx on asset_events (run) where run is not null;
