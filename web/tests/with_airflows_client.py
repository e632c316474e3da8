"""Airflow's own client against our server: what it asks it gets, in shapes that its models accept. URL and TOKEN come from the environment."""

import os
import traceback
from datetime import datetime, timezone

import airflow_client.client as airflow
from airflow_client.client.exceptions import ApiException
from airflow_client.client.models import (
    BackfillPostBody, ClearTaskInstancesBody, CreateAssetEventsBody, DAGRunPatchBody, PatchTaskInstanceBody, PoolBody, PoolPatchBody,
    TriggerDAGRunPostBody, UpdateHITLDetailPayload,
)

client = airflow.ApiClient(airflow.Configuration(host=os.environ["URL"], access_token=os.environ["TOKEN"]))
dags, runs, tasks = airflow.DAGApi(client), airflow.DagRunApi(client), airflow.TaskInstanceApi(client)


def dag_and_runs():
    assert {dag.dag_id for dag in dags.get_dags().dags} >= {"hourly", "ingest", "gate"}
    assert dags.get_dag_details("hourly").params["limit"]["value"] == 10
    made = runs.trigger_dag_run("hourly", TriggerDAGRunPostBody(dag_run_id="by-client", logical_date=None, conf={"limit": 3}))
    assert (made.dag_run_id, made.state, made.conf["limit"]) == ("by-client", "queued", 3)
    try:
        runs.trigger_dag_run("hourly", TriggerDAGRunPostBody(dag_run_id="by-client", logical_date=None))
        raise AssertionError("the same run id twice")
    except ApiException as error:
        assert error.status == 409
    listed = runs.get_dag_runs("hourly", order_by=["-run_after"], limit=10)
    assert listed.total_entries == 4
    return {run.dag_run_id: run for run in listed.dag_runs}


def task_instances(run_id):
    found = tasks.get_task_instances("hourly", run_id)
    assert found.total_entries == 18
    failed = [one.task_id for one in found.task_instances if one.state == "failed"]
    assert failed == ["models.dim_users"], failed
    mapped = tasks.get_mapped_task_instance("hourly", run_id, "load", 2)
    assert (mapped.map_index, mapped.rendered_map_index) == (2, "auth_events")
    tries = tasks.get_task_instance_tries("hourly", run_id, "models.dim_users")
    log = tasks.get_log("hourly", run_id, "models.dim_users", tries.task_instances[0].try_number)
    assert "begins" in str(log.content.actual_instance)


def clear_and_mark(run_id):
    dry = tasks.post_clear_task_instances("hourly", ClearTaskInstancesBody(dag_run_id=run_id, only_failed=True, dry_run=True))
    assert dry.total_entries > 1 and runs.get_dag_run("hourly", run_id).state == "failed"
    body = PatchTaskInstanceBody(new_state="success")
    dry = tasks.patch_task_instance_dry_run("hourly", run_id, "models.dim_users", body)
    assert [one.task_id for one in dry.task_instances] == ["models.dim_users"]
    tasks.patch_task_instance("hourly", run_id, "models.dim_users", body)
    assert tasks.get_task_instance("hourly", run_id, "models.dim_users").state == "success"
    assert runs.get_dag_run("hourly", run_id).state == "queued", "what failed because of it runs again"
    assert runs.patch_dag_run("hourly", "by-client", DAGRunPatchBody(state="failed")).state == "failed"


def pools():
    api = airflow.PoolApi(client)
    assert api.post_pool(PoolBody(name="api", slots=2, description="calls")).open_slots == 2
    assert api.patch_pool("api", PoolPatchBody(slots=5)).slots == 5
    assert [pool.name for pool in api.get_pools().pools] == ["api", "people"]
    api.delete_pool("api")
    assert api.get_pools().total_entries == 1


def backfills():
    api = airflow.BackfillApi(client)
    body = BackfillPostBody(
        dag_id="hourly", from_date=datetime(2026, 11, 22, 7, tzinfo=timezone.utc), to_date=datetime(2026, 11, 22, 11, tzinfo=timezone.utc),
        max_active_runs=2, reprocess_behavior="none",
    )
    plan = api.create_backfill_dry_run(body)
    assert [tick.logical_date.hour for tick in plan.backfills] == [6, 7, 8], "windows before 10:05, which has a run"
    made = api.create_backfill(body)
    assert not made.is_paused and made.to_date == body.to_date
    assert api.pause_backfill(made.id).is_paused
    assert not api.unpause_backfill(made.id).is_paused
    assert api.cancel_backfill(made.id).completed_at is not None
    assert [one.id for one in api.list_backfills("hourly").backfills] == [made.id]


def assets():
    api = airflow.AssetApi(client)
    (asset,) = api.get_assets(name_pattern="songs").assets
    assert [dag.dag_id for dag in asset.scheduled_dags] == ["gate"]
    event = api.create_asset_event(CreateAssetEventsBody(asset_id=asset.id))
    assert api.get_asset_events(asset_id=asset.id).asset_events[0].id == event.id


def people():
    api = airflow.TaskInstanceApi(client)
    run = runs.get_dag_runs("gate").dag_runs[0].dag_run_id
    detail = api.get_hitl_detail("gate", run, "ask", -1)
    assert detail.subject == "Ship it?" and not detail.response_received
    api.update_hitl_detail("gate", run, "ask", -1, UpdateHITLDetailPayload(chosen_options=["Approve"], params_input={}))
    assert api.get_hitl_detail("gate", run, "ask", -1).chosen_options == ["Approve"]


def the_rest(run_id):
    entries = airflow.XComApi(client).get_xcom_entries("hourly", run_id, "watermark")
    assert {entry.key for entry in entries.xcom_entries} == {"return_value", "rows"}
    assert airflow.XComApi(client).get_xcom_entry("hourly", "watermark", run_id, "rows").actual_instance.value == 12
    events = [log.event for log in airflow.EventLogApi(client).get_event_logs(limit=100).event_logs]
    assert {"run.trigger", "task.mark", "run.mark", "pool.set", "backfill.create", "asset.tell", "approval.approve"} <= set(events), events
    assert airflow.MonitorApi(client).get_health().metadatabase.status == "healthy"


failures = []


def step(what, *given):
    try:
        return what(*given)
    except Exception:
        failures.append(f"{what.__name__}: {traceback.format_exc(limit=-6)}")
        return None


found = step(dag_and_runs) or {run.dag_run_id: run for run in runs.get_dag_runs("hourly").dag_runs}
failed = next(name for name, run in found.items() if run.state == "failed")
step(task_instances, failed)
step(clear_and_mark, failed)
for what in (pools, backfills, assets, people):
    step(what)
step(the_rest, next(name for name, run in found.items() if run.state == "success"))
print("\n".join(failures) if failures else "all well")
