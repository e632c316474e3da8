# Who reads and writes which dataset. There is no right on the whole project's data.

locals {
  access = merge([
    for dataset, grants in var.access : {
      for grant in grants : "${dataset} ${grant.name} ${grant.role}" => merge(grant, { dataset = dataset })
    }
  ]...)
}

resource "google_bigquery_dataset_iam_member" "this" {
  for_each = local.access

  dataset_id = google_bigquery_dataset.this[each.value.dataset].dataset_id
  role       = each.value.role
  member     = each.value.member
}

# External tables over a connection are read with its account, by those who may use it.
resource "google_bigquery_connection_iam_member" "this" {
  for_each = { for key, grant in local.access : grant.name => grant.member if grant.dataset == "raw" }

  location      = google_bigquery_connection.lake.location
  connection_id = google_bigquery_connection.lake.connection_id
  role          = "roles/bigquery.connectionUser"
  member        = each.value
}
