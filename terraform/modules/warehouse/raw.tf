# The lake as tables: made once, over all hours, instead of one external table an hour that is made and dropped again.

resource "google_bigquery_connection" "lake" {
  connection_id = "${var.dataset_prefix}lake"
  location      = var.location
  friendly_name = "Lake"
  description   = "Reads the lake's bucket for whoever may read the raw tables"
  cloud_resource {}
}

resource "google_storage_bucket_iam_member" "connection" {
  bucket = var.lake_bucket
  role   = "roles/storage.objectViewer"
  member = "serviceAccount:${google_bigquery_connection.lake.cloud_resource[0].service_account_id}"
}

resource "google_bigquery_table" "raw" {
  #checkov:skip=CKV_GCP_80:encrypted with Google's keys; a key of one's own is a project-wide default (organisation policy), not this module's matter
  #checkov:skip=CKV_GCP_121:nothing is lost with an external table; the bucket is what is protected
  for_each = var.events

  dataset_id          = google_bigquery_dataset.this["raw"].dataset_id
  table_id            = each.key
  description         = "Files of ${each.key} in the lake"
  schema              = jsonencode(local.columns[each.key])
  deletion_protection = false
  labels              = var.labels

  external_data_configuration {
    autodetect    = false
    connection_id = google_bigquery_connection.lake.name
    source_format = "PARQUET"
    source_uris   = ["gs://${var.lake_bucket}/events/${each.key}/*.parquet"]

    hive_partitioning_options {
      mode                     = "CUSTOM"
      source_uri_prefix        = "gs://${var.lake_bucket}/events/${each.key}/{year:INTEGER}/{month:INTEGER}/{day:INTEGER}/{hour:INTEGER}"
      require_partition_filter = true
    }
  }

  depends_on = [google_storage_bucket_iam_member.connection]
}
