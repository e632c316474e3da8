output "lake_url" {
  description = "STREAMIFY_LAKE_URL"
  value       = "gs://${google_storage_bucket.lake.name}"
}

output "lake_bucket" {
  description = "Name of the lake's bucket"
  value       = google_storage_bucket.lake.name
}

output "state_url" {
  description = "Where logs, dumps and checkpoints go"
  value       = "gs://${google_storage_bucket.state.name}"
}

output "protected" {
  description = "Whether buckets that hold something refuse to be deleted"
  value       = !google_storage_bucket.lake.force_destroy && !google_storage_bucket.state.force_destroy
}
