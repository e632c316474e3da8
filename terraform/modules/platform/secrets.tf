# Values: the URL of the database is written through (no state, no plan holds it), its CA is public, that of the mail server comes by hand.

locals {
  nodes_of_all_parts = ["web", "scheduler", "worker", "generator", "stream"]
}

module "secrets" {
  source = "../secrets"

  name    = var.name
  region  = var.region
  members = { for role in local.nodes_of_all_parts : role => module.identity.members[role] }
  secrets = merge(
    { database-url = local.nodes_of_all_parts, database-ca = local.nodes_of_all_parts },
    var.smtp_from == "" ? {} : { smtp-url = ["scheduler"] },
  )
  protect = var.protect
  labels  = local.labels

  depends_on = [google_project_service.this]
}

resource "google_secret_manager_secret_version" "database_url" {
  secret                 = module.secrets.ids["database-url"]
  secret_data_wo_version = var.database_password_version
  secret_data_wo = join("", [
    "postgres://${module.database.user}:${coalesce(var.database_password, "-")}",
    "@${module.database.address}:5432/${module.database.database}",
    "?sslmode=verify-ca&sslrootcert=/run/secrets/database-ca/server-ca.pem",
  ])
  deletion_policy = "DISABLE"
}

resource "google_secret_manager_secret_version" "database_ca" {
  secret          = module.secrets.ids["database-ca"]
  secret_data     = module.database.ca_certificate
  deletion_policy = "DISABLE"
}
