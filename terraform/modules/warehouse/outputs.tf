output "datasets" {
  description = "Id of each dataset"
  value       = { for name, dataset in google_bigquery_dataset.this : name => dataset.dataset_id }
}

output "staging_tables" {
  description = "Tables that the load tasks fill"
  value       = [for table in google_bigquery_table.staging : table.table_id]
}

output "protected" {
  description = "Whether tables and datasets that hold something refuse to be deleted"
  value       = alltrue([for table in google_bigquery_table.staging : table.deletion_protection]) && alltrue([for dataset in google_bigquery_dataset.this : !dataset.delete_contents_on_destroy])
}
