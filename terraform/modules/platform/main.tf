# All of Streamify in one project: what envs/dev and envs/prod make, each with its own values.

locals {
  labels = merge({ app = "streamify", environment = var.environment, managed-by = "terraform" }, var.labels)

  # Fields of the events: the files that the streaming job and the load tasks go by.
  schema_folder = "${path.module}/../../../dags/streamify/schemas"
  events = {
    for file in fileset(local.schema_folder, "*.yaml") :
    trimsuffix(file, ".yaml") => [for field in yamldecode(file("${local.schema_folder}/${file}")).fields : { name = field.name, type = field.type }]
  }

  # The same alert rules as on any Prometheus.
  rules = [
    for rule in flatten([for group in yamldecode(file("${path.module}/../../../deploy/prometheus/alerts.yaml")).groups : group.rules]) : {
      alert    = rule.alert
      expr     = rule.expr
      patience = rule["for"]
      severity = rule.labels.severity
      summary  = rule.annotations.summary
      runbook  = rule.annotations.runbook
    }
  ]

  services = [
    "artifactregistry", "bigquery", "bigqueryconnection", "billingbudgets", "cloudresourcemanager", "compute", "dns", "iam",
    "iamcredentials", "iap", "logging", "managedkafka", "monitoring", "run", "secretmanager", "servicenetworking", "serviceusage",
    "sqladmin", "storage", "sts",
  ]
}

data "google_project" "this" {
  project_id = var.project_id
}

resource "google_project_service" "this" {
  for_each = toset(local.services)

  project            = var.project_id
  service            = "${each.value}.googleapis.com"
  disable_on_destroy = false # others in the project may use them
}

module "identity" {
  source = "../identity"

  project_id             = var.project_id
  name                   = var.name
  environment            = var.environment
  github_repository      = var.github_repository
  ci_applies             = var.ci_applies
  terraform_state_bucket = var.terraform_state_bucket

  depends_on = [google_project_service.this]
}

module "network" {
  source = "../network"

  name           = var.name
  region         = var.region
  subnets        = var.subnets
  services_range = var.services_range
  internet_ports = var.internet_ports

  depends_on = [google_project_service.this]
}

module "lake" {
  source = "../lake"

  name        = "${var.project_id}-${var.name}"
  location    = var.region
  protect     = var.protect
  events_days = var.events_days
  labels      = local.labels
  readers     = { for role in ["stream", "worker"] : role => module.identity.members[role] }
  writers     = { stream = module.identity.members["stream"], worker = module.identity.members["worker"] }
  # Logs of old attempts go there, and are still read on the pages.
  state_access = {
    web       = { role = "roles/storage.objectViewer", member = module.identity.members["web"] }
    scheduler = { role = "roles/storage.objectUser", member = module.identity.members["scheduler"] }
    worker    = { role = "roles/storage.objectUser", member = module.identity.members["worker"] }
  }

  depends_on = [google_project_service.this]
}

module "warehouse" {
  source = "../warehouse"

  location     = var.region
  lake_bucket  = module.lake.lake_bucket
  events       = local.events
  staging_days = var.staging_days
  protect      = var.protect
  labels       = local.labels
  access = {
    raw     = [{ name = "worker", role = "roles/bigquery.dataViewer", member = module.identity.members["worker"] }]
    staging = local.work_and_look
    prod    = local.work_and_look
    quality = local.work_and_look
  }

  depends_on = [google_project_service.this]
}

locals {
  work_and_look = [
    { name = "worker", role = "roles/bigquery.dataEditor", member = module.identity.members["worker"] },
    { name = "web", role = "roles/bigquery.dataViewer", member = module.identity.members["web"] },
  ]
}

module "kafka" {
  source = "../kafka"

  project_id          = var.project_id
  name                = var.name
  region              = var.region
  subnet              = module.network.subnets["kafka"]
  topics              = keys(local.events)
  partitions          = var.partitions
  retention_days      = var.kafka_retention_days
  vcpus               = local.size.kafka.vcpus
  memory_gib_per_vcpu = local.size.kafka.memory_gib_per_vcpu
  principals          = { for role in ["generator", "stream", "worker"] : role => module.identity.emails[role] }
  admins              = var.kafka_admins
  protect             = var.protect
  labels              = local.labels

  depends_on = [google_project_service.this]
}

module "database" {
  source = "../database"

  name                = var.name
  region              = var.region
  network             = module.network.network
  services_connection = module.network.services_connection
  tier                = local.size.database.tier
  highly_available    = local.size.database.highly_available
  disk_gib            = local.size.database.disk_gib
  max_connections     = local.size.database.max_connections
  password            = var.database_password
  password_version    = var.database_password_version
  readers             = var.database_readers
  protect             = var.protect
  labels              = local.labels

  depends_on = [google_project_service.this]
}

module "registry" {
  source = "../registry"

  name    = var.name
  region  = var.region
  writer  = module.identity.members["push"]
  readers = var.registry_readers
  labels  = local.labels

  depends_on = [google_project_service.this]
}

module "run" {
  source = "../run"

  project_number     = data.google_project.this.number
  name               = var.name
  region             = var.region
  image              = var.image
  network            = module.network.network
  subnet             = module.network.subnets["apps"]
  network_tag        = module.network.app_tag
  service_accounts   = module.identity.emails
  parts              = local.parts
  web_max_instances  = local.size.web_max_instances
  environment        = local.environment
  secret_environment = local.secret_environment
  secret_files       = local.secret_files
  iap                = var.iap
  users              = merge(var.users, { ci = module.identity.members["ci"] }, local.uptime_user)
  protect            = var.protect
  labels             = local.labels

  # A revision starts only when what it reads is there.
  depends_on = [google_secret_manager_secret_version.database_url, google_secret_manager_secret_version.database_ca, module.secrets, module.kafka]
}

module "watch" {
  source = "../watch"

  project_id        = var.project_id
  project_number    = data.google_project.this.number
  name              = var.name
  emails            = var.alert_emails
  rules             = local.rules
  database_instance = module.database.instance
  max_connections   = local.size.database.max_connections
  uptime            = var.iap ? null : { host = local.web_host }
  budget            = var.budget
  labels            = local.labels

  depends_on = [google_project_service.this, module.run]
}

locals {
  # Known before the service is there, so that parts can be told it.
  web_host    = "${var.name}-web-${data.google_project.this.number}.${var.region}.run.app"
  uptime_user = var.iap ? {} : { uptime = "serviceAccount:service-${data.google_project.this.number}@gcp-sa-monitoring-notification.iam.gserviceaccount.com" }
}
