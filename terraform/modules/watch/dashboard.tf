# One page for operators, in the order in which they ask.

locals {
  charts = [
    { title = "Runs by state", metric = "streamify_runs", group = ["metric.label.state"], aligner = "ALIGN_MEAN", reducer = "REDUCE_MAX" },
    { title = "Attempts by queue and state", metric = "streamify_attempts", group = ["metric.label.queue", "metric.label.state"], aligner = "ALIGN_MEAN", reducer = "REDUCE_MAX" },
    { title = "Oldest waiting attempt (s)", metric = "streamify_queue_oldest_age_seconds", group = ["metric.label.queue"], aligner = "ALIGN_MAX", reducer = "REDUCE_MAX" },
    { title = "Lag of services (records)", metric = "streamify_service_lag", group = ["metric.label.dag", "metric.label.task"], aligner = "ALIGN_MAX", reducer = "REDUCE_MAX" },
    { title = "Services that are ready", metric = "streamify_service_ready", group = ["metric.label.dag", "metric.label.task"], aligner = "ALIGN_MIN", reducer = "REDUCE_MAX" },
    { title = "Slots in use by node", metric = "streamify_node_slots_used", group = ["metric.label.node", "metric.label.class"], aligner = "ALIGN_MEAN", reducer = "REDUCE_MAX" },
    { title = "Heartbeat's age by node (s)", metric = "streamify_node_heartbeat_age_seconds", group = ["metric.label.node"], aligner = "ALIGN_MAX", reducer = "REDUCE_MAX" },
    { title = "Oldest transaction (s)", metric = "streamify_database_oldest_snapshot_seconds", group = [], aligner = "ALIGN_MAX", reducer = "REDUCE_MAX" },
    { title = "Rows that must not exist", metric = "streamify_invariant_violations", group = ["metric.label.invariant"], aligner = "ALIGN_MAX", reducer = "REDUCE_MAX" },
  ]
  cloud_charts = [
    { title = "Requests by class", filter = "metric.type=\"run.googleapis.com/request_count\" resource.type=\"cloud_run_revision\" resource.label.service_name=\"${var.name}-web\"", group = ["metric.label.response_code_class"], aligner = "ALIGN_RATE", reducer = "REDUCE_SUM" },
    { title = "Database: processor", filter = "metric.type=\"cloudsql.googleapis.com/database/cpu/utilization\" resource.type=\"cloudsql_database\" resource.label.database_id=\"${var.project_id}:${var.database_instance}\"", group = [], aligner = "ALIGN_MEAN", reducer = "REDUCE_MAX" },
    { title = "Database: disk", filter = "metric.type=\"cloudsql.googleapis.com/database/disk/utilization\" resource.type=\"cloudsql_database\" resource.label.database_id=\"${var.project_id}:${var.database_instance}\"", group = [], aligner = "ALIGN_MEAN", reducer = "REDUCE_MAX" },
  ]
  own_charts = [
    for chart in local.charts : merge(chart, { filter = "metric.type=\"prometheus.googleapis.com/${chart.metric}/gauge\" resource.type=\"prometheus_target\" resource.label.namespace=\"${var.name}\"" })
  ]
  tiles = [for chart in concat(local.own_charts, local.cloud_charts) : {
    title = chart.title
    xyChart = {
      dataSets = [{
        plotType = "LINE"
        timeSeriesQuery = {
          timeSeriesFilter = {
            filter = chart.filter
            aggregation = {
              alignmentPeriod    = "60s"
              perSeriesAligner   = chart.aligner
              crossSeriesReducer = chart.reducer
              groupByFields      = chart.group
            }
          }
        }
      }]
    }
  }]
}

resource "google_monitoring_dashboard" "this" {
  dashboard_json = jsonencode({
    displayName = var.name
    mosaicLayout = {
      columns = 48
      tiles   = [for at, widget in local.tiles : { xPos = at % 3 * 16, yPos = floor(at / 3) * 12, width = 16, height = 12, widget = widget }]
    }
  })
}
