mock_provider "google" {}

variables {
  project_number = "1"
  name           = "streamify-test"
  region         = "europe-west1"
  image          = "europe-west1-docker.pkg.dev/p/streamify/streamify:v1"
  network        = "projects/p/global/networks/n"
  subnet         = "projects/p/regions/europe-west1/subnetworks/apps"
  network_tag    = "streamify-app"
  service_accounts = {
    web       = "web@p.iam.gserviceaccount.com"
    scheduler = "scheduler@p.iam.gserviceaccount.com"
    worker    = "worker@p.iam.gserviceaccount.com"
    generator = "generator@p.iam.gserviceaccount.com"
    stream    = "stream@p.iam.gserviceaccount.com"
  }
  parts = {
    web       = { cpu = "1", memory = "512Mi", instances = 1 }
    scheduler = { cpu = "1", memory = "512Mi", instances = 2 }
    worker    = { cpu = "2", memory = "4Gi", instances = 3 }
    generator = { cpu = "1", memory = "512Mi", instances = 1 }
    stream    = { cpu = "2", memory = "2Gi", instances = 1 }
  }
  environment = {
    web       = { STREAMIFY_HOST = "0.0.0.0" }
    scheduler = { STREAMIFY_QUEUES = "default" }
    worker    = { STREAMIFY_QUEUES = "default" }
    generator = { STREAMIFY_QUEUES = "generator" }
    stream    = { STREAMIFY_QUEUES = "stream" }
  }
  secret_files = { database-url = { secret = "streamify-test-database-url", file = "url" } }
}

run "each_part_runs_as_itself_in_its_size" {
  command = plan

  assert {
    condition     = alltrue([for part, pool in google_cloud_run_v2_worker_pool.this : pool.template[0].service_account == "${part}@p.iam.gserviceaccount.com"]) && google_cloud_run_v2_service.web.template[0].service_account == "web@p.iam.gserviceaccount.com"
    error_message = "an account a part"
  }
  assert {
    condition     = jsonencode({ for part, pool in google_cloud_run_v2_worker_pool.this : part => pool.scaling[0].manual_instance_count }) == jsonencode({ scheduler = 2, worker = 3, generator = 1, stream = 1 })
    error_message = "as many as are said"
  }
  assert {
    condition     = alltrue([for part, pool in google_cloud_run_v2_worker_pool.this : pool.template[0].containers[0].resources[0].limits == tomap({ cpu = var.parts[part].cpu, memory = var.parts[part].memory })])
    error_message = "as large as is said"
  }
  assert {
    condition     = alltrue([for pool in google_cloud_run_v2_worker_pool.this : pool.scaling[0].scaling_mode == "MANUAL"])
    error_message = "no load takes a worker away from its task"
  }
}

run "all_traffic_goes_through_the_network" {
  command = plan

  assert {
    condition = alltrue([
      for access in concat([for pool in google_cloud_run_v2_worker_pool.this : pool.template[0].vpc_access[0]], [google_cloud_run_v2_service.web.template[0].vpc_access[0]], [google_cloud_run_v2_job.migrate.template[0].template[0].vpc_access[0]]) :
      access.egress == "ALL_TRAFFIC" && one(access.network_interfaces).subnetwork == var.subnet && contains(one(access.network_interfaces).tags, "streamify-app")
    ])
    error_message = "where the firewall sees it"
  }
}

run "nobody_opens_the_pages_by_default" {
  command = plan

  assert {
    condition     = length(google_cloud_run_v2_service_iam_member.invokers) == 0 && length(google_iap_web_cloud_run_service_iam_member.users) == 0 && google_cloud_run_v2_service.web.invoker_iam_disabled == false
    error_message = "rights are given by name"
  }
}

run "with_the_proxy_only_the_proxy_calls_the_service" {
  command = plan

  variables {
    iap   = true
    users = { ana = "user:ana@acme.example" }
  }
  assert {
    condition     = google_cloud_run_v2_service.web.iap_enabled && length(google_cloud_run_v2_service_iam_member.invokers) == 0 && length(google_cloud_run_v2_service_iam_member.iap) == 1
    error_message = "the proxy"
  }
  assert {
    condition     = google_iap_web_cloud_run_service_iam_member.users["ana"].member == "user:ana@acme.example"
    error_message = "people at the proxy"
  }
}

run "secrets_come_as_files" {
  command = plan

  assert {
    condition     = alltrue([for pool in google_cloud_run_v2_worker_pool.this : one(pool.template[0].volumes).secret[0].secret == "streamify-test-database-url"])
    error_message = "from Secret Manager"
  }
  assert {
    condition     = alltrue([for pool in google_cloud_run_v2_worker_pool.this : one(pool.template[0].containers[0].volume_mounts).mount_path == "/run/secrets/database-url"])
    error_message = "into /run/secrets"
  }
}

run "metrics_are_read_on_loopback_beside_the_scheduler" {
  command = plan

  assert {
    condition     = join(",", [for part, pool in google_cloud_run_v2_worker_pool.this : part if length(pool.template[0].containers) == 2]) == "scheduler"
    error_message = "one collector"
  }
  assert {
    condition     = yamldecode(local.collector_config).receivers.prometheus.config.scrape_configs[0].static_configs[0].targets == ["127.0.0.1:8081"]
    error_message = "the collector asks there"
  }
}

run "what_runs_is_protected_by_default" {
  command = plan

  assert {
    condition     = alltrue(concat([google_cloud_run_v2_service.web.deletion_protection, google_cloud_run_v2_job.migrate.deletion_protection], [for pool in google_cloud_run_v2_worker_pool.this : pool.deletion_protection]))
    error_message = "service, job and pools"
  }
}

run "an_image_that_may_change_under_its_name_is_refused" {
  command = plan

  variables {
    image = "europe-west1-docker.pkg.dev/p/streamify/streamify:latest"
  }
  expect_failures = [var.image]
}

run "two_generators_are_refused" {
  command = plan

  variables {
    parts = {
      web       = { cpu = "1", memory = "512Mi", instances = 1 }
      scheduler = { cpu = "1", memory = "512Mi", instances = 1 }
      worker    = { cpu = "1", memory = "512Mi", instances = 1 }
      generator = { cpu = "1", memory = "512Mi", instances = 2 }
      stream    = { cpu = "1", memory = "512Mi", instances = 1 }
    }
  }
  expect_failures = [var.parts]
}

run "a_password_in_the_environment_is_refused" {
  command = plan

  variables {
    environment = {
      web       = { DATABASE_URL = "postgres://..." }
      scheduler = {}
      worker    = {}
      generator = {}
      stream    = {}
    }
  }
  expect_failures = [var.environment]
}

run "pages_for_everybody_are_refused" {
  command = plan

  variables {
    users = { all = "allUsers" }
  }
  expect_failures = [var.users]
}
