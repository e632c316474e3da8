# Google's own services by their private address, so that the firewall can tell them from the internet.

locals {
  google_domains = { apis = "googleapis.com.", registry = "pkg.dev." }
}

resource "google_dns_managed_zone" "google" {
  for_each = local.google_domains

  name        = "${var.name}-${each.key}"
  dns_name    = each.value
  description = "${each.value} by its private address"
  visibility  = "private"

  private_visibility_config {
    networks {
      network_url = google_compute_network.this.id
    }
  }
}

resource "google_dns_record_set" "private" {
  for_each = local.google_domains

  managed_zone = google_dns_managed_zone.google[each.key].name
  name         = each.value == "googleapis.com." ? "private.googleapis.com." : each.value
  type         = "A"
  ttl          = 300
  rrdatas      = [for host in range(4) : cidrhost(local.google_range, host)]
}

resource "google_dns_record_set" "names" {
  for_each = local.google_domains

  managed_zone = google_dns_managed_zone.google[each.key].name
  name         = "*.${each.value}"
  type         = "CNAME"
  ttl          = 300
  rrdatas      = [google_dns_record_set.private[each.key].name]
}
