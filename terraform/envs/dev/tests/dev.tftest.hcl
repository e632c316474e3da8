mock_provider "google" {
  override_during = plan

  mock_data "google_project" {
    defaults = { number = "123456789012" }
  }
  mock_resource "google_service_account" {
    defaults = { email = "streamify-part@streamify-test.iam.gserviceaccount.com", member = "serviceAccount:streamify-part@streamify-test.iam.gserviceaccount.com", name = "projects/streamify-test/serviceAccounts/streamify-part@streamify-test.iam.gserviceaccount.com" }
  }
  mock_resource "google_sql_database_instance" {
    defaults = { private_ip_address = "10.20.16.3", connection_name = "streamify-test:europe-west1:streamify", server_ca_cert = [{ cert = "-----BEGIN CERTIFICATE-----" }] }
  }
  mock_resource "google_bigquery_connection" {
    defaults = { cloud_resource = { service_account_id = "bqcx@gcp-sa-bigquery-condel.iam.gserviceaccount.com" } }
  }
}

variables {
  project_id             = "streamify-test"
  image                  = "europe-west1-docker.pkg.dev/streamify-test/streamify/streamify@sha256:0000000000000000000000000000000000000000000000000000000000000000"
  github_repository      = "acme/streamify"
  terraform_state_bucket = "acme-terraform"
  alert_emails           = ["ops@acme.example"]
  database_password      = "a-password-of-32-characters-long"
}

run "the_deploy_workflow_finds_what_it_reads" {
  command = plan

  assert {
    condition     = output.project_id == "streamify-test" && output.region == "europe-west1" && output.image == var.image && output.migrate_job == "streamify-migrate" && startswith(output.web_url, "https://streamify-web-")
    error_message = "outputs of deploy/rollout.sh"
  }
  assert {
    condition     = toset(keys(output.github_variables)) == toset(["GCP_PROJECT", "GCP_REGISTRY", "GCP_IDENTITY_PROVIDER", "GCP_DEPLOY_ACCOUNT", "GCP_PLAN_ACCOUNT", "GCP_PUSH_ACCOUNT", "TERRAFORM_STATE_BUCKET"])
    error_message = "variables of .github/workflows"
  }
}

run "later_applies_need_no_password" {
  command = plan

  variables {
    database_password = null
  }
  assert {
    condition     = output.environment.web.DATABASE_URL_FILE == "/run/secrets/database-url/url"
    error_message = "the secret has it"
  }
}

run "development_may_all_be_deleted" {
  command = plan

  assert {
    condition     = !anytrue(values(module.platform.protected))
    error_message = "what costs money can be taken down"
  }
}
