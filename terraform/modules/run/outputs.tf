output "url" {
  description = "Address of pages and API"
  value       = google_cloud_run_v2_service.web.uri
}

output "service" {
  description = "Name of the service"
  value       = google_cloud_run_v2_service.web.name
}

output "pools" {
  description = "Name of each worker pool"
  value       = { for part, pool in google_cloud_run_v2_worker_pool.this : part => pool.name }
}

output "migrate_job" {
  description = "Job that brings the schema up to date"
  value       = google_cloud_run_v2_job.migrate.name
}

output "protected" {
  description = "Whether service, job and pools refuse to be deleted"
  value       = alltrue(concat([google_cloud_run_v2_service.web.deletion_protection, google_cloud_run_v2_job.migrate.deletion_protection], [for pool in google_cloud_run_v2_worker_pool.this : pool.deletion_protection]))
}
