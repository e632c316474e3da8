# Alerts: those of every Prometheus, and those that only the cloud can give. Each says what to do.
# PromQL knows the metric prometheus.googleapis.com/streamify_x/gauge as streamify_x.

locals {
  of = "namespace=\"${var.name}\""
  db = "database_id=\"${var.project_id}:${var.database_instance}\""

  # deploy/prometheus/alerts.yaml: the rules that any Prometheus has, with their names, severities and sections of the runbook.
  rules = {
    for rule in var.rules : rule.alert => {
      severity = upper(rule.severity)
      query    = rule.expr
      seconds  = sum([for at, unit in { s = 1, m = 60, h = 3600 } : unit * tonumber(trimsuffix(rule.patience, at)) if endswith(rule.patience, at)])
      # Placeholders of Prometheus mean nothing to Cloud Monitoring, which names the series itself.
      about  = trimspace(replace(rule.summary, "/ *\\{\\{[^}]*\\}\\}/", ""))
      remedy = "See ${rule.runbook}."
    }
  }

  # What only the cloud knows.
  cloud = {
    metrics-absent = {
      severity = "CRITICAL", minutes = 5
      query    = "absent(streamify_build_info{${local.of}})"
      about    = "No node tells metrics."
      remedy   = "Look at the worker pool ${var.name}-scheduler, first its collector's log, then the node's."
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

  alerts = merge(local.rules, { for name, alert in local.cloud : name => merge(alert, { seconds = alert.minutes * 60 }) })
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
      duration            = "${each.value.seconds}s"
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
