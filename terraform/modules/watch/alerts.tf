# Alerts on what matters to people: work does not start, data does not arrive, the store is in danger. Each says what to do.
# PromQL knows the metric prometheus.googleapis.com/streamify_x/gauge as streamify_x; all of ours carry the namespace of the platform.

locals {
  of = "namespace=\"${var.name}\""
  db = "database_id=\"${var.project_id}:${var.database_instance}\""

  alerts = {
    metrics-absent = {
      severity = "CRITICAL", minutes = 5
      query    = "absent(streamify_build_info{${local.of}})"
      about    = "No node tells metrics."
      remedy   = "Look at the worker pool ${var.name}-scheduler, first its collector's log, then the node's."
    }
    no-scheduler = {
      severity = "CRITICAL", minutes = 2
      query    = "max(streamify_duty_held{${local.of},duty=\"planner\"}) < 1"
      about    = "No node plans: no run starts."
      remedy   = "Look at the log of ${var.name}-scheduler; `streamify doctor` says what it cannot reach."
    }
    invariant = {
      severity = "CRITICAL", minutes = 1
      query    = "max by (invariant) (streamify_invariant_violations{${local.of}}) > 0"
      about    = "Rows that must not exist: a defect of the program."
      remedy   = "Keep the rows (a clone of the database), report it; no data is lost by waiting."
    }
    queue-waits = {
      severity = "WARNING", minutes = 10
      query    = "max by (queue) (streamify_queue_oldest_age_seconds{${local.of},class=\"task\"}) > ${var.queue_seconds}"
      about    = "Tasks wait for a free slot."
      remedy   = "Raise parts.worker.instances, or look for a pool without slots: `streamify pool list`."
    }
    service-not-ready = {
      severity = "CRITICAL", minutes = 10
      query    = "min by (dag, task) (max by (dag, task, map_index) (streamify_service_ready{${local.of}})) < 1"
      about    = "A service (generator, streaming job) does not come up: no new data."
      remedy   = "`streamify run show` tells its last exit; restarts beyond its budget fail the task."
    }
    service-lag = {
      severity = "WARNING", minutes = 15
      query    = "max by (dag, task) (streamify_service_lag{${local.of}}) > ${var.lag_records}"
      about    = "The streaming job falls behind: dashboards get stale."
      remedy   = "Raise parts.stream.cpu: one task reads all partitions, each on a thread of its own."
    }
    dag-failing = {
      severity = "WARNING", minutes = 5
      query    = "max by (dag) (streamify_dag_failing{${local.of}}) > 0"
      about    = "The newest run of a dag failed."
      remedy   = "`streamify run list DAG`, then `run show`: the first failed task's log says why. `run clear DAG RUN --only-failed` runs it again."
    }
    node-silent = {
      severity = "WARNING", minutes = 2
      query    = "max by (node) (streamify_node_heartbeat_age_seconds{${local.of}}) > 60"
      about    = "A node was not heard of; its work is given to others."
      remedy   = "Nothing, if it ends by itself within minutes; else look at its log."
    }
    old-snapshot = {
      severity = "WARNING", minutes = 5
      query    = "max(streamify_database_oldest_snapshot_seconds{${local.of}}) > 600"
      about    = "A transaction is open for long: dead rows pile up and everything gets slower."
      remedy   = "Find it in pg_stat_activity by xact_start, and end it."
    }
    clock = {
      severity = "WARNING", minutes = 5
      query    = "max(abs(streamify_database_clock_skew_seconds{${local.of}})) > 2"
      about    = "A node's clock and the database's differ."
      remedy   = "Nothing runs twice; restart the instance of that node."
    }
    loop-errors = {
      severity = "WARNING", minutes = 10
      query    = "sum by (loop) (rate(streamify_loop_errors_total{${local.of}}[5m])) > 0.1"
      about    = "A loop of the engine fails again and again."
      remedy   = "Its log names the reason; mostly the database is out of reach."
    }
    attempts-lost = {
      severity = "WARNING", minutes = 5
      query    = "sum(increase(streamify_attempts_ended_total{${local.of},ending=\"lost\"}[15m])) > 3"
      about    = "Attempts were lost with their nodes."
      remedy   = "Look for instances that end: memory above its limit is the usual reason."
    }
    web-errors = {
      severity = "WARNING", minutes = 5
      query    = "sum(rate(run_googleapis_com:request_count{monitored_resource=\"cloud_run_revision\",service_name=\"${var.name}-web\",response_code_class=\"5xx\"}[5m])) > 0.1"
      about    = "Pages or API answer with errors."
      remedy   = "Look at the log of ${var.name}-web."
    }
    database-disk = {
      severity = "CRITICAL", minutes = 5
      query    = "max(cloudsql_googleapis_com:database_disk_utilization{monitored_resource=\"cloudsql_database\",${local.db}}) > 0.85"
      about    = "The database's disk is nearly full, and its growth has a limit."
      remedy   = "Raise disk_gib_limit; prune old history; look for what grows."
    }
    database-processor = {
      severity = "WARNING", minutes = 15
      query    = "max(cloudsql_googleapis_com:database_cpu_utilization{monitored_resource=\"cloudsql_database\",${local.db}}) > 0.85"
      about    = "The database has no processor left."
      remedy   = "Query Insights shows what takes it; else a larger size."
    }
    database-connections = {
      severity = "WARNING", minutes = 5
      query    = "sum(cloudsql_googleapis_com:database_postgresql_num_backends{monitored_resource=\"cloudsql_database\",${local.db}}) > ${floor(var.max_connections * 0.85)}"
      about    = "Connections run out; new nodes cannot start."
      remedy   = "Fewer nodes (each takes up to 24), or a higher max_connections."
    }
    account-key = {
      severity = "CRITICAL", minutes = 0
      query    = "sum(increase(logging_googleapis_com:user_${replace(google_logging_metric.account_keys.name, "-", "_")}{monitored_resource=\"audited_resource\"}[10m])) > 0"
      about    = "Somebody made a key of a service account. Nothing here needs one."
      remedy   = "Ask who and why (Cloud Audit Logs), delete the key."
    }
  }
}

resource "google_monitoring_alert_policy" "this" {
  for_each = local.alerts

  display_name          = "${var.name} ${each.key}"
  combiner              = "OR"
  severity              = each.value.severity
  notification_channels = local.channels
  user_labels           = var.labels

  documentation {
    mime_type = "text/markdown"
    subject   = "${var.name}: ${each.value.about}"
    content   = "${each.value.about}\n\n**What to do.** ${each.value.remedy}"
  }

  conditions {
    display_name = each.key
    condition_prometheus_query_language {
      query               = each.value.query
      duration            = "${each.value.minutes * 60}s"
      evaluation_interval = "60s"
      rule_group          = var.name
      alert_rule          = each.key
      # The first application comes before the first node, and so before the metrics.
      disable_metric_validation = true
    }
  }

  alert_strategy {
    auto_close = "86400s"
  }
}

resource "google_logging_metric" "account_keys" {
  name        = "${var.name}-account-keys"
  description = "Keys of service accounts that were made"
  filter      = "protoPayload.methodName=\"google.iam.admin.v1.CreateServiceAccountKey\" AND severity>=NOTICE"

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
    unit        = "1"
  }
}
