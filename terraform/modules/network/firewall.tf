# Deny by default, both ways; each permission below names who, where to and which port.

locals {
  google_range = "199.36.153.8/30" # private.googleapis.com
  iap_range    = "35.235.240.0/20"
}

resource "google_compute_firewall" "deny_ingress" {
  name          = "${var.name}-deny-ingress"
  network       = google_compute_network.this.id
  description   = "Nothing comes in"
  direction     = "INGRESS"
  priority      = 65534
  source_ranges = ["0.0.0.0/0"]

  deny {
    protocol = "all"
  }

  log_config {
    metadata = "INCLUDE_ALL_METADATA"
  }
}

resource "google_compute_firewall" "deny_egress" {
  name               = "${var.name}-deny-egress"
  network            = google_compute_network.this.id
  description        = "Nothing goes out"
  direction          = "EGRESS"
  priority           = 65534
  destination_ranges = ["0.0.0.0/0"]

  deny {
    protocol = "all"
  }

  log_config {
    metadata = "INCLUDE_ALL_METADATA"
  }
}

resource "google_compute_firewall" "google" {
  name               = "${var.name}-to-google"
  network            = google_compute_network.this.id
  description        = "Applications to Google's services, by their private address"
  direction          = "EGRESS"
  priority           = 1000
  target_tags        = [var.app_tag]
  destination_ranges = [local.google_range]

  allow {
    protocol = "tcp"
    ports    = ["443"]
  }
}

resource "google_compute_firewall" "kafka" {
  name               = "${var.name}-to-kafka"
  network            = google_compute_network.this.id
  description        = "Applications to the Kafka brokers"
  direction          = "EGRESS"
  priority           = 1000
  target_tags        = [var.app_tag]
  destination_ranges = [var.subnets["kafka"]]

  allow {
    protocol = "tcp"
    ports    = ["9092"]
  }
}

resource "google_compute_firewall" "database" {
  name               = "${var.name}-to-database"
  network            = google_compute_network.this.id
  description        = "Applications to Cloud SQL"
  direction          = "EGRESS"
  priority           = 1000
  target_tags        = [var.app_tag]
  destination_ranges = [var.services_range]

  allow {
    protocol = "tcp"
    ports    = ["5432"]
  }
}

resource "google_compute_firewall" "internet" {
  count = length(var.internet_ports) > 0 ? 1 : 0

  name               = "${var.name}-to-internet"
  network            = google_compute_network.this.id
  description        = "Applications to webhooks, mail servers and identity providers, through the NAT gateway"
  direction          = "EGRESS"
  priority           = 2000
  target_tags        = [var.app_tag]
  destination_ranges = ["0.0.0.0/0"]

  allow {
    protocol = "tcp"
    ports    = var.internet_ports
  }

  log_config {
    metadata = "INCLUDE_ALL_METADATA"
  }
}

# For a machine that a person sets up to look into the network (psql, kafka-console-consumer): it needs the tag, and the person IAP's role.
resource "google_compute_firewall" "iap" {
  name          = "${var.name}-from-iap"
  network       = google_compute_network.this.id
  description   = "Identity-Aware Proxy to machines with the tag ${var.iap_tag}"
  direction     = "INGRESS"
  priority      = 1000
  source_ranges = [local.iap_range]
  target_tags   = [var.iap_tag]

  allow {
    protocol = "tcp"
    ports    = ["22"]
  }

  log_config {
    metadata = "INCLUDE_ALL_METADATA"
  }
}
