output "alerts" {
  description = "Name of each alert"
  value       = sort(keys(google_monitoring_alert_policy.this))
}

output "dashboard" {
  description = "Id of the dashboard"
  value       = google_monitoring_dashboard.this.id
}
