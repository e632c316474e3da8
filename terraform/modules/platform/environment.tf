# What the program is told. Its settings are in app/src/settings.rs, `streamify config` shows them; a test holds these names against them.

locals {
  shared = {
    DATABASE_URL_FILE              = "/run/secrets/database-url/url"
    KAFKA_BOOTSTRAP_SERVERS        = module.kafka.bootstrap_servers
    KAFKA_SASL_MECHANISM           = "OAUTHBEARER"
    KAFKA_SECURITY_PROTOCOL        = "SASL_SSL"
    STREAMIFY_LAKE_URL             = module.lake.lake_url
    STREAMIFY_WAREHOUSE_URL        = "bigquery:${var.project_id}?location=${var.region}&max_bytes_billed=${var.query_limit}"
    STREAMIFY_PUBLIC_URL           = "https://${local.web_host}"
    STREAMIFY_LOG_ARCHIVE          = "${module.lake.state_url}/logs"
    STREAMIFY_LOG_FORMAT           = "json"
    STREAMIFY_HISTORY_HOURS        = tostring(var.pipeline.history_hours)
    STREAMIFY_STREAM_EVERY_SECONDS = tostring(var.pipeline.stream_every_seconds)
    STREAMIFY_USERS                = var.pipeline.users == null ? "" : tostring(var.pipeline.users)
    STREAMIFY_SONGS                = var.pipeline.songs
    # Cloud Run kills ten seconds after it has told an instance to stop.
    STREAMIFY_DRAIN_SECONDS = "4"
    STREAMIFY_STOP_SECONDS  = "4"
  }

  environment = {
    web = merge(local.shared, { STREAMIFY_HOST = "0.0.0.0", STREAMIFY_PORT = "8080", STREAMIFY_ANONYMOUS = "none" })
    # Metrics on loopback, where the collector beside it reads them.
    scheduler = merge(local.shared, { STREAMIFY_HOST = "127.0.0.1", STREAMIFY_MONITOR_PORT = "8081", STREAMIFY_SMTP_FROM = var.smtp_from })
    worker    = merge(local.shared, { STREAMIFY_QUEUES = "default", STREAMIFY_TASK_SLOTS = tostring(8 * tonumber(local.parts.worker.cpu)) })
    generator = merge(local.shared, { STREAMIFY_QUEUES = "generator" })
    stream    = merge(local.shared, { STREAMIFY_QUEUES = "stream" })
  }

  secret_environment = var.smtp_from == "" ? {} : { scheduler = { STREAMIFY_SMTP_URL = module.secrets.names["smtp-url"] } }

  secret_files = {
    database-url = { secret = module.secrets.names["database-url"], file = "url" }
    database-ca  = { secret = module.secrets.names["database-ca"], file = "server-ca.pem" }
  }
}
