# Who is told, whether the pages answer from outside, what it may cost.

locals {
  channels = [for channel in google_monitoring_notification_channel.email : channel.id]
}

resource "google_monitoring_notification_channel" "email" {
  for_each = var.emails

  display_name = "${var.name} ${each.value}"
  type         = "email"
  labels       = { email_address = each.value }
  user_labels  = var.labels
}

# From three continents, as Monitoring's own account, which is let in as any other caller is.
resource "google_monitoring_uptime_check_config" "web" {
  count = var.uptime == null ? 0 : 1

  display_name       = "${var.name} web"
  timeout            = "10s"
  period             = "60s"
  selected_regions   = ["EUROPE", "USA", "ASIA_PACIFIC"]
  log_check_failures = true
  user_labels        = var.labels

  monitored_resource {
    type   = "uptime_url"
    labels = { project_id = var.project_id, host = var.uptime.host }
  }

  http_check {
    path         = "/api/v2/monitor/health"
    port         = 443
    use_ssl      = true
    validate_ssl = true

    service_agent_authentication {
      type = "OIDC_TOKEN"
    }
  }

  content_matchers {
    content = "healthy"
    matcher = "MATCHES_JSON_PATH"
    json_path_matcher {
      json_path    = "$.scheduler.status"
      json_matcher = "EXACT_MATCH"
    }
  }
}

resource "google_monitoring_alert_policy" "uptime" {
  count = var.uptime == null ? 0 : 1

  display_name          = "${var.name} unreachable"
  combiner              = "OR"
  severity              = "CRITICAL"
  notification_channels = local.channels
  user_labels           = var.labels

  documentation {
    mime_type = "text/markdown"
    subject   = "${var.name}: the pages do not answer, or say that nothing is planned"
    content   = "Look at ${var.name}-web, then at ${var.name}-scheduler."
  }

  conditions {
    display_name = "uptime check fails in two regions"
    condition_threshold {
      filter          = "resource.type = \"uptime_url\" AND metric.type = \"monitoring.googleapis.com/uptime_check/check_passed\" AND metric.labels.check_id = \"${google_monitoring_uptime_check_config.web[0].uptime_check_id}\""
      comparison      = "COMPARISON_GT"
      threshold_value = 1
      duration        = "120s"

      aggregations {
        alignment_period     = "120s"
        per_series_aligner   = "ALIGN_NEXT_OLDER"
        cross_series_reducer = "REDUCE_COUNT_FALSE"
        group_by_fields      = ["resource.label.host"]
      }
    }
  }
}

resource "google_billing_budget" "this" {
  count = var.budget == null ? 0 : 1

  billing_account = var.budget.billing_account
  display_name    = var.name

  budget_filter {
    projects = ["projects/${var.project_number}"]
  }

  amount {
    specified_amount {
      currency_code = var.budget.currency
      units         = tostring(var.budget.monthly)
    }
  }

  dynamic "threshold_rules" {
    for_each = [0.5, 0.9, 1.0]
    content {
      threshold_percent = threshold_rules.value
    }
  }

  threshold_rules {
    threshold_percent = 1.0
    spend_basis       = "FORECASTED_SPEND"
  }

  all_updates_rule {
    monitoring_notification_channels = local.channels
    disable_default_iam_recipients   = false
  }
}
