# Who may open the pages and call the API. Streamify asks for its own login behind this; nobody is let in here by default.

resource "google_cloud_run_v2_service_iam_member" "invokers" {
  for_each = var.iap ? {} : var.users

  name     = google_cloud_run_v2_service.web.name
  location = var.region
  role     = "roles/run.invoker"
  member   = each.value
}

# With Identity-Aware Proxy in front, it alone calls the service, and people have their right at the proxy.
resource "google_cloud_run_v2_service_iam_member" "iap" {
  count = var.iap ? 1 : 0

  name     = google_cloud_run_v2_service.web.name
  location = var.region
  role     = "roles/run.invoker"
  member   = "serviceAccount:service-${var.project_number}@gcp-sa-iap.iam.gserviceaccount.com"
}

resource "google_iap_web_cloud_run_service_iam_member" "users" {
  for_each = var.iap ? var.users : {}

  location               = var.region
  cloud_run_service_name = google_cloud_run_v2_service.web.name
  role                   = "roles/iap.httpsResourceAccessor"
  member                 = each.value
}
