# Who reads and who writes where. Listing is a right on the bucket, so readers read all of it; writers write below their own folders.

resource "google_storage_bucket_iam_member" "lake_readers" {
  for_each = var.readers

  bucket = google_storage_bucket.lake.name
  role   = "roles/storage.objectViewer"
  member = each.value
}

resource "google_storage_bucket_iam_member" "lake_writers" {
  for_each = { stream = local.stream_prefixes, worker = local.worker_prefixes }

  bucket = google_storage_bucket.lake.name
  role   = "roles/storage.objectUser"
  member = var.writers[each.key]

  condition {
    title       = "${each.key} writes below its own folders"
    description = join(", ", each.value)
    expression  = join(" || ", [for prefix in each.value : "resource.name.startsWith('projects/_/buckets/${google_storage_bucket.lake.name}/objects/${prefix}')"])
  }
}

resource "google_storage_bucket_iam_member" "state" {
  for_each = var.state_access

  bucket = google_storage_bucket.state.name
  role   = each.value.role
  member = each.value.member
}
