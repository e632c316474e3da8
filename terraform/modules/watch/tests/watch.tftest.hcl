mock_provider "google" {}

variables {
  project_id        = "streamify-test"
  project_number    = "1"
  name              = "streamify-test"
  emails            = ["ops@acme.example"]
  database_instance = "streamify-test"
  max_connections   = 200
  rules = [
    { alert = "StreamifyNobodyPlans", expr = "max(streamify_duty_held{duty=\"planner\"}) < 1", patience = "2m", severity = "critical", summary = "No node plans: {{ $value }} of them", runbook = "docs/ops/runbook.md#streamifynobodyplans" },
    { alert = "StreamifyTableBloat", expr = "max by (table) (streamify_table_dead_rows) > 1000000", patience = "1h", severity = "warning", summary = "{{ $labels.table }} has many dead rows", runbook = "docs/ops/runbook.md#streamifytablebloat" },
  ]
}

run "every_alert_says_what_to_do_and_tells_somebody" {
  command = apply

  assert {
    condition     = alltrue([for policy in google_monitoring_alert_policy.this : strcontains(policy.documentation[0].content, "**What to do.** ") && length(policy.notification_channels) == 1])
    error_message = "a remedy and a reader"
  }
  assert {
    condition     = alltrue([for policy in google_monitoring_alert_policy.this : contains(["CRITICAL", "WARNING"], policy.severity)])
    error_message = "a severity"
  }
}

run "rules_of_prometheus_become_policies" {
  command = apply

  assert {
    condition     = google_monitoring_alert_policy.this["StreamifyNobodyPlans"].conditions[0].condition_prometheus_query_language[0].duration == "120s" && google_monitoring_alert_policy.this["StreamifyTableBloat"].conditions[0].condition_prometheus_query_language[0].duration == "3600s"
    error_message = "with their patience"
  }
  assert {
    condition     = google_monitoring_alert_policy.this["StreamifyNobodyPlans"].severity == "CRITICAL" && google_monitoring_alert_policy.this["StreamifyTableBloat"].severity == "WARNING"
    error_message = "and severity"
  }
  assert {
    condition     = strcontains(google_monitoring_alert_policy.this["StreamifyTableBloat"].documentation[0].content, "runbook.md#streamifytablebloat") && !strcontains(google_monitoring_alert_policy.this["StreamifyTableBloat"].documentation[0].content, "{{")
    error_message = "and section of the runbook, without placeholders that stay empty"
  }
  assert {
    condition     = alltrue([for policy in google_monitoring_alert_policy.this : policy.conditions[0].condition_prometheus_query_language[0].disable_metric_validation])
    error_message = "policies can be made before the first node runs"
  }
}

run "what_only_the_cloud_knows_is_watched" {
  command = apply

  assert {
    condition     = length(setsubtract(["metrics-absent", "web-errors", "database-disk", "database-processor", "database-connections", "account-key"], keys(google_monitoring_alert_policy.this))) == 0
    error_message = "metrics, pages, database, keys"
  }
  assert {
    condition     = strcontains(local.alerts.database-connections.query, "> 170")
    error_message = "85 % of the connections"
  }
}

run "the_dashboard_shows_metrics_of_managed_prometheus" {
  command = apply

  assert {
    condition     = length(jsondecode(google_monitoring_dashboard.this.dashboard_json).mosaicLayout.tiles) == 12
    error_message = "twelve charts"
  }
  assert {
    condition     = strcontains(google_monitoring_dashboard.this.dashboard_json, "prometheus.googleapis.com/streamify_service_lag/gauge")
    error_message = "lag"
  }
  assert {
    condition     = alltrue([for tile in jsondecode(google_monitoring_dashboard.this.dashboard_json).mosaicLayout.tiles : tile.xPos + tile.width <= 48])
    error_message = "tiles lie on the page"
  }
}

run "check_from_outside_and_budget_are_made_when_asked_for" {
  command = apply

  variables {
    uptime = { host = "streamify-test-web-1.europe-west1.run.app" }
    budget = { billing_account = "012345-6789AB-CDEF01", monthly = 500 }
  }
  assert {
    condition     = google_monitoring_uptime_check_config.web[0].http_check[0].use_ssl && google_monitoring_uptime_check_config.web[0].http_check[0].service_agent_authentication[0].type == "OIDC_TOKEN"
    error_message = "encrypted, as Monitoring's own account"
  }
  assert {
    condition     = google_billing_budget.this[0].amount[0].specified_amount[0].units == "500" && length(google_billing_budget.this[0].threshold_rules) == 4
    error_message = "at half, nine tenths, all, and by forecast"
  }
}

run "nothing_is_made_when_not_asked_for" {
  command = apply

  assert {
    condition     = length(google_monitoring_uptime_check_config.web) == 0 && length(google_billing_budget.this) == 0
    error_message = "no check, no budget"
  }
}

run "a_billing_account_that_is_none_is_refused" {
  command = plan

  variables {
    budget = { billing_account = "mine", monthly = 500 }
  }
  expect_failures = [var.budget]
}

run "a_severity_that_nobody_knows_is_refused" {
  command = plan

  variables {
    rules = [{ alert = "A", expr = "1", patience = "1m", severity = "page", summary = "", runbook = "" }]
  }
  expect_failures = [var.rules]
}
