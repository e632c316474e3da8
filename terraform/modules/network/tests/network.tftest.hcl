mock_provider "google" {}

variables {
  name   = "streamify-test"
  region = "europe-west1"
}

run "nothing_comes_in_or_goes_out_unless_a_rule_names_it" {
  command = plan

  assert {
    condition     = alltrue([for rule in [google_compute_firewall.deny_ingress, google_compute_firewall.deny_egress] : one(rule.deny[*].protocol) == "all" && rule.priority == 65534])
    error_message = "all traffic is denied, at the lowest priority"
  }
  assert {
    condition     = google_compute_firewall.deny_ingress.source_ranges == toset(["0.0.0.0/0"]) && google_compute_firewall.deny_egress.destination_ranges == toset(["0.0.0.0/0"])
    error_message = "the denials cover every address"
  }
  assert {
    condition     = google_compute_firewall.deny_ingress.target_tags == null && google_compute_firewall.deny_egress.target_tags == null
    error_message = "the denials cover every machine"
  }
}

run "only_identity_aware_proxy_comes_in_and_only_to_tagged_machines" {
  command = plan

  assert {
    condition     = google_compute_firewall.iap.source_ranges == toset(["35.235.240.0/20"])
    error_message = "from IAP's range alone"
  }
  assert {
    condition     = google_compute_firewall.iap.target_tags == toset(["streamify-iap"]) && google_compute_firewall.iap.target_tags != toset([var.app_tag])
    error_message = "to machines with the tag, which applications do not have"
  }
  assert {
    condition     = one(google_compute_firewall.iap.allow[*].ports) == tolist(["22"])
    error_message = "one port"
  }
}

run "applications_reach_kafka_database_and_google_each_by_its_port" {
  command = plan

  assert {
    condition     = google_compute_firewall.kafka.destination_ranges == toset(["10.20.8.0/24"]) && one(google_compute_firewall.kafka.allow[*].ports) == tolist(["9092"])
    error_message = "Kafka: its subnet, 9092; never 0.0.0.0/0 as in the system this replaces"
  }
  assert {
    condition     = google_compute_firewall.database.destination_ranges == toset(["10.20.16.0/20"]) && one(google_compute_firewall.database.allow[*].ports) == tolist(["5432"])
    error_message = "database: the services' range, 5432"
  }
  assert {
    condition     = google_compute_firewall.google.destination_ranges == toset(["199.36.153.8/30"])
    error_message = "Google's services by their private address"
  }
  assert {
    condition     = alltrue([for rule in [google_compute_firewall.kafka, google_compute_firewall.database, google_compute_firewall.google, google_compute_firewall.internet[0]] : rule.target_tags == toset(["streamify-app"]) && rule.direction == "EGRESS"])
    error_message = "permissions are for applications, outward"
  }
}

run "the_internet_can_be_closed" {
  command = plan

  variables {
    internet_ports = []
  }
  assert {
    condition     = length(google_compute_firewall.internet) == 0
    error_message = "without ports there is no rule"
  }
}

run "subnets_are_private_and_logged" {
  command = plan

  assert {
    condition     = google_compute_network.this.auto_create_subnetworks == false
    error_message = "only subnets that are written here"
  }
  assert {
    condition     = alltrue([for subnet in google_compute_subnetwork.this : subnet.private_ip_google_access && length(subnet.log_config) == 1 && subnet.stack_type == "IPV4_ONLY"])
    error_message = "each subnet reaches Google privately and logs its flows"
  }
  assert {
    condition     = google_compute_global_address.services.address_type == "INTERNAL" && google_compute_global_address.services.prefix_length == 20
    error_message = "managed services get private addresses"
  }
  assert {
    condition     = google_compute_router_nat.this.source_subnetwork_ip_ranges_to_nat == "LIST_OF_SUBNETWORKS"
    error_message = "only the applications' subnet goes out"
  }
}

run "a_public_range_is_refused" {
  command = plan

  variables {
    subnets = { apps = "8.8.8.0/24", kafka = "10.20.8.0/24" }
  }
  expect_failures = [var.subnets]
}

run "a_subnet_that_cloud_run_cannot_use_is_refused" {
  command = plan

  variables {
    subnets = { apps = "10.20.0.0/28", kafka = "10.20.8.0/24" }
  }
  expect_failures = [var.subnets]
}
