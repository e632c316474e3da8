mock_provider "google" {}

variables {
  project_id        = "streamify-test"
  project_number    = "1"
  name              = "streamify-test"
  emails            = ["ops@acme.example"]
  database_instance = "streamify-test"
  max_connections   = 200
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

run "alerts_are_about_this_platform_only" {
  command = apply

  assert {
    condition     = alltrue([for name, alert in local.alerts : strcontains(alert.query, "namespace=\"streamify-test\"") if strcontains(alert.query, "(streamify_")])
    error_message = "two platforms in a project do not wake each other's people"
  }
  assert {
    condition     = alltrue([for policy in google_monitoring_alert_policy.this : policy.conditions[0].condition_prometheus_query_language[0].disable_metric_validation])
    error_message = "policies can be made before the first node runs"
  }
}

run "what_matters_most_is_watched" {
  command = apply

  assert {
    condition     = length(setsubtract(["metrics-absent", "no-scheduler", "invariant", "service-not-ready", "service-lag", "database-disk", "account-key"], keys(google_monitoring_alert_policy.this))) == 0
    error_message = "work, data, store, keys"
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
