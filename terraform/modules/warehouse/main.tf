# BigQuery: raw (the lake's files as they are), staging (what the load tasks put), prod (models), quality (results of checks).

locals {
  datasets = {
    raw     = "The lake's files, as external tables: to look at; the platform loads files by its commit log"
    staging = "Hours of the lake, loaded exactly once each"
    prod    = "Models"
    quality = "Results of checks and rows that failed them"
  }

  # What the streaming job and the load task add to the fields of an event.
  lake_columns = [
    { name = "_topic_partition", type = "INT64", mode = "NULLABLE", description = "Partition of the record" },
    { name = "_topic_offset", type = "INT64", mode = "NULLABLE", description = "Offset of the record" },
    { name = "_ingested_at", type = "TIMESTAMP", mode = "NULLABLE", description = "When the streaming job read it" },
    { name = "_extra", type = "STRING", mode = "NULLABLE", description = "JSON of fields that the schema does not know" },
  ]
  hour = { name = "hour", type = "TIMESTAMP", mode = "REQUIRED", description = "Hour of the event, UTC; the partition" }
  day  = 24 * 60 * 60 * 1000

  types = { int = "INT64", double = "FLOAT64", string = "STRING", boolean = "BOOL" }
  columns = {
    for topic, fields in var.events : topic => concat(
      [for field in fields : { name = field.name, type = local.types[field.type], mode = "NULLABLE", description = "" }],
      local.lake_columns,
    )
  }
}

resource "google_bigquery_dataset" "this" {
  #checkov:skip=CKV_GCP_81:encrypted with Google's keys; a key of one's own is a project-wide default (organisation policy), not this module's matter
  for_each = local.datasets

  dataset_id                      = "${var.dataset_prefix}${each.key}"
  description                     = each.value
  location                        = var.location
  max_time_travel_hours           = 168
  default_partition_expiration_ms = each.key == "quality" ? var.quality_days * local.day : null
  delete_contents_on_destroy      = !var.protect
  labels                          = var.labels
}

resource "google_bigquery_table" "staging" {
  #checkov:skip=CKV_GCP_121:var.protect, which is true unless an environment says that everything may go; tests hold it for prod
  #checkov:skip=CKV_GCP_80:encrypted with Google's keys; a key of one's own is a project-wide default (organisation policy), not this module's matter
  for_each = var.events

  dataset_id               = google_bigquery_dataset.this["staging"].dataset_id
  table_id                 = each.key
  description              = "Hours of ${each.key}"
  schema                   = jsonencode(concat(local.columns[each.key], [local.hour]))
  clustering               = [for column in ["userId", "sessionId"] : column if contains(each.value[*].name, column)]
  require_partition_filter = false # models read across hours; their own filters are on `hour`
  deletion_protection      = var.protect
  labels                   = var.labels

  time_partitioning {
    type          = "HOUR"
    field         = "hour"
    expiration_ms = var.staging_days == null ? null : var.staging_days * local.day
  }
}

# Which hours are loaded, from which files, with how many rows: written in the transaction that loads them.
resource "google_bigquery_table" "loads" {
  #checkov:skip=CKV_GCP_121:var.protect, which is true unless an environment says that everything may go; tests hold it for prod
  #checkov:skip=CKV_GCP_80:encrypted with Google's keys; a key of one's own is a project-wide default (organisation policy), not this module's matter
  dataset_id          = google_bigquery_dataset.this["staging"].dataset_id
  table_id            = "_loads"
  description         = "Which hours of which topics are loaded"
  clustering          = ["topic"]
  deletion_protection = var.protect
  labels              = var.labels
  schema = jsonencode([
    { name = "topic", type = "STRING", mode = "REQUIRED" },
    { name = "hour", type = "TIMESTAMP", mode = "REQUIRED" },
    { name = "digest", type = "STRING", mode = "REQUIRED" },
    { name = "files", type = "INT64", mode = "REQUIRED" },
    { name = "rows", type = "INT64", mode = "REQUIRED" },
    { name = "loaded_at", type = "TIMESTAMP", mode = "REQUIRED" },
  ])

  time_partitioning {
    type  = "MONTH"
    field = "hour"
  }
}
