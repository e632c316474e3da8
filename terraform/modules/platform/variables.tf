variable "project_id" {
  description = "Google Cloud project"
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id: 6 to 30 lower-case letters, digits and hyphens."
  }
}

variable "environment" {
  description = "dev or prod"
  type        = string

  validation {
    condition     = contains(["dev", "prod"], var.environment)
    error_message = "environment: dev or prod."
  }
}

variable "name" {
  description = "Prefix of everything"
  type        = string
  default     = "streamify"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,19}$", var.name))
    error_message = "name: 2 to 20 lower-case letters, digits and hyphens."
  }
}

variable "region" {
  description = "Region of everything"
  type        = string

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "region: such as europe-west1; one that has Managed Service for Apache Kafka and Cloud Run worker pools."
  }
}

variable "image" {
  description = "Image of Streamify, with a tag or a digest"
  type        = string
}

variable "size" {
  description = "small, medium or large"
  type        = string
  default     = "small"

  validation {
    condition     = contains(["small", "medium", "large"], var.size)
    error_message = "size: small, medium or large; README.md says what each costs."
  }
}

variable "parts" {
  description = "Changes to the size's parts: web, scheduler, worker, generator, stream"
  type        = map(object({ cpu = optional(string), memory = optional(string), instances = optional(number) }))
  default     = {}

  validation {
    condition     = alltrue([for part in keys(var.parts) : contains(["web", "scheduler", "worker", "generator", "stream"], part)])
    error_message = "parts: web, scheduler, worker, generator and stream."
  }
}

variable "protect" {
  description = "Refuse to delete what holds data; turned off only where everything may go"
  type        = bool
  default     = true

  validation {
    condition     = var.protect || var.environment != "prod"
    error_message = "protect: production is protected."
  }
}

variable "github_repository" {
  description = "owner/name of the repository that deploys"
  type        = string
}

variable "ci_applies" {
  description = "Whether CI applies this configuration, or only deploys images"
  type        = bool
  default     = true
}

variable "terraform_state_bucket" {
  description = "Bucket of Terraform's state"
  type        = string
  default     = null
}

variable "registry_readers" {
  description = "Cloud Run service agents of other projects that pull from this registry"
  type        = set(string)
  default     = []
}

variable "subnets" {
  description = "Ranges of the subnets apps and kafka"
  type        = map(string)
  default     = { apps = "10.20.0.0/22", kafka = "10.20.8.0/24" }
}

variable "services_range" {
  description = "Range of Google's managed services"
  type        = string
  default     = "10.20.16.0/20"
}

variable "internet_ports" {
  description = "TCP ports that may be reached on the internet"
  type        = list(string)
  default     = ["443"]
}

variable "database_password" {
  description = "Password of the application's database user: at the first apply, and whenever database_password_version is raised"
  type        = string
  default     = null
  sensitive   = true
  ephemeral   = true
}

variable "database_password_version" {
  description = "Raise it together with a new password"
  type        = number
  default     = 1
}

variable "database_readers" {
  description = "E-mail addresses of people who may read the database"
  type        = set(string)
  default     = []
}

variable "partitions" {
  description = "Partitions of each topic"
  type        = number
  default     = 3
}

variable "kafka_retention_days" {
  description = "Days for which records are kept; null: for good"
  type        = number
  default     = null
}

variable "kafka_admins" {
  description = "E-mail addresses of those who administer Kafka"
  type        = list(string)
  default     = []
}

variable "events_days" {
  description = "Days for which the lake keeps events; null: for good"
  type        = number
  default     = null
}

variable "staging_days" {
  description = "Days for which staging keeps hours; null: for good"
  type        = number
  default     = null
}

variable "query_limit" {
  description = "Most that one query may read; it is refused before it costs more"
  type        = string
  default     = "200GB"

  validation {
    condition     = can(regex("^[0-9]+(MB|GB|TB)$", var.query_limit))
    error_message = "query_limit: such as 500MB, 200GB or 1TB."
  }
}

variable "users" {
  description = "Who may open the pages and call the API: any name => IAM member"
  type        = map(string)
  default     = {}
}

variable "iap" {
  description = "Identity-Aware Proxy in front of the pages"
  type        = bool
  default     = false
}

variable "smtp_from" {
  description = "Who writes notices, such as Streamify <alerts@example.org>; then the secret <name>-smtp-url needs a version. Empty: no e-mail."
  type        = string
  default     = ""

  validation {
    condition     = var.smtp_from == "" || length(setintersection(var.internet_ports, ["465", "587", "2525"])) > 0
    error_message = "smtp_from: mail needs its port in internet_ports (465 or 587)."
  }
}

variable "pipeline" {
  description = "The simulated music service"
  type = object({
    users                = optional(number)
    songs                = optional(string, "")
    history_hours        = optional(number, 24)
    stream_every_seconds = optional(number, 120)
  })
  default = {}

  validation {
    condition     = var.pipeline.history_hours >= 1 && var.pipeline.stream_every_seconds >= 1
    error_message = "pipeline: history_hours and stream_every_seconds are at least 1."
  }
}

variable "alert_emails" {
  description = "Who is told of alerts"
  type        = set(string)
  default     = []

  validation {
    condition     = var.environment != "prod" || length(var.alert_emails) > 0
    error_message = "alert_emails: production needs somebody to tell."
  }
}

variable "budget" {
  description = "Billing account and what a month may cost; null: no budget"
  type        = object({ billing_account = string, monthly = number, currency = optional(string, "USD") })
  default     = null
}

variable "labels" {
  description = "Further labels"
  type        = map(string)
  default     = {}
}
