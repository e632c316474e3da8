mock_provider "google" {}

variables {
  project_id = "streamify-test"
  name       = "streamify-test"
  region     = "europe-west1"
  subnet     = "projects/streamify-test/regions/europe-west1/subnetworks/kafka"
  topics     = ["listen_events", "auth_events"]
  principals = { generator = "g@p.iam.gserviceaccount.com", stream = "s@p.iam.gserviceaccount.com", worker = "w@p.iam.gserviceaccount.com" }
}

run "records_survive_the_loss_of_a_zone" {
  command = plan

  assert {
    condition     = alltrue([for topic in google_managed_kafka_topic.this : topic.replication_factor == 3 && topic.configs["min.insync.replicas"] == "2"])
    error_message = "three copies, two of them written before an answer"
  }
  assert {
    condition     = google_managed_kafka_cluster.this.capacity_config[0].vcpu_count == "3" && google_managed_kafka_cluster.this.capacity_config[0].memory_bytes == "3221225472"
    error_message = "a broker in each of three zones"
  }
}

run "the_brokers_are_in_our_subnet_only" {
  command = plan

  assert {
    condition     = one(google_managed_kafka_cluster.this.gcp_config[0].access_config[0].network_configs[*].subnet) == var.subnet
    error_message = "one network"
  }
}

run "the_generators_own_topics_exist" {
  command = plan

  assert {
    condition     = toset(keys(google_managed_kafka_topic.this)) == toset(["listen_events", "auth_events", "generator_plan", "watermarks"])
    error_message = "events, plan, watermarks"
  }
  assert {
    condition     = google_managed_kafka_topic.this["generator_plan"].configs["cleanup.policy"] == "compact"
    error_message = "the plan keeps its newest record"
  }
  assert {
    condition     = google_managed_kafka_topic.this["listen_events"].configs["retention.ms"] == "-1"
    error_message = "a replayed history is not deleted at once"
  }
}

run "only_the_generator_writes_and_only_the_streaming_job_commits_offsets" {
  command = plan

  assert {
    condition = alltrue(flatten([
      for acl in google_managed_kafka_acl.this : [for entry in acl.acl_entries : entry.principal == "User:g@p.iam.gserviceaccount.com" if contains(["WRITE", "IDEMPOTENT_WRITE"], entry.operation)]
    ]))
    error_message = "writers"
  }
  assert {
    condition     = [for entry in google_managed_kafka_acl.this["consumerGroup/streamify-stream"].acl_entries : entry.principal if entry.operation == "READ"] == ["User:s@p.iam.gserviceaccount.com"]
    error_message = "the streaming job's group"
  }
  assert {
    condition     = alltrue(flatten([for acl in google_managed_kafka_acl.this : [for entry in acl.acl_entries : entry.principal != "User:*" && !contains(["ALL", "ALTER", "DELETE", "CREATE"], entry.operation)]]))
    error_message = "nobody does everything, and nobody is everybody"
  }
}

run "nothing_is_open_for_want_of_an_entry" {
  command = plan

  assert {
    condition     = length(setsubtract(["cluster", "allTopics", "allConsumerGroups", "allTransactionalIds"], keys(google_managed_kafka_acl.this))) == 0
    error_message = "each kind of resource has an entry that covers all of it"
  }
}

run "administrators_are_named" {
  command = plan

  variables {
    admins = ["ops@acme.example"]
  }
  assert {
    condition     = [for entry in google_managed_kafka_acl.this["allTopics"].acl_entries : entry.principal if entry.operation == "ALL"] == ["User:ops@acme.example"]
    error_message = "what has no entry of its own is theirs"
  }
}

run "the_cluster_is_protected_by_default" {
  command = plan

  assert {
    condition     = google_managed_kafka_cluster.this.deletion_policy == "PREVENT" && alltrue([for topic in google_managed_kafka_topic.this : topic.deletion_policy == "PREVENT"])
    error_message = "cluster and topics"
  }
}

run "a_cluster_without_a_broker_in_each_zone_is_refused" {
  command = plan

  variables {
    vcpus = 2
  }
  expect_failures = [var.vcpus]
}
