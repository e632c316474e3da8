variable "project_number" {
  description = "Number of the project"
  type        = string
}

variable "name" {
  description = "Prefix of what runs"
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,37}$", var.name))
    error_message = "name: 2 to 38 lower-case letters, digits and hyphens."
  }
}

variable "region" {
  description = "Region of what runs"
  type        = string
}

variable "image" {
  description = "Image of all parts, with a tag or a digest"
  type        = string

  validation {
    condition     = can(regex("^[^\\s]+(@sha256:[0-9a-f]{64}|:[A-Za-z0-9_][A-Za-z0-9._-]{0,127})$", var.image)) && !endswith(var.image, ":latest")
    error_message = "image: name it with @sha256:... or a tag that is not `latest`: an apply must say what it deploys."
  }
}

variable "collector_image" {
  description = "Image of the collector of metrics"
  type        = string
  default     = "us-docker.pkg.dev/cloud-ops-agents-artifacts/google-cloud-opentelemetry-collector/otelcol-google:0.135.0"
}

variable "network" {
  description = "Network that traffic leaves by"
  type        = string
}

variable "subnet" {
  description = "Subnet that instances get addresses in"
  type        = string
}

variable "network_tag" {
  description = "Tag that the firewall knows the applications by"
  type        = string
}

variable "service_accounts" {
  description = "E-mail address of each part's account"
  type        = map(string)

  validation {
    condition     = alltrue([for part in ["web", "scheduler", "worker", "generator", "stream"] : contains(keys(var.service_accounts), part)])
    error_message = "service_accounts: web, scheduler, worker, generator and stream."
  }
}

variable "parts" {
  description = "Size of each part"
  type = object({
    web       = object({ cpu = string, memory = string, instances = number })
    scheduler = object({ cpu = string, memory = string, instances = number })
    worker    = object({ cpu = string, memory = string, instances = number })
    generator = object({ cpu = string, memory = string, instances = number })
    stream    = object({ cpu = string, memory = string, instances = number })
  })

  validation {
    condition     = alltrue([for part in values(var.parts) : contains(["1", "2", "4", "8"], part.cpu) && can(regex("^[0-9]+(Mi|Gi)$", part.memory))])
    error_message = "parts: cpu is 1, 2, 4 or 8; memory is such as 512Mi or 4Gi (Cloud Run wants at least 512Mi for what never sleeps)."
  }

  validation {
    condition     = var.parts.generator.instances <= 1 && alltrue([for part in values(var.parts) : part.instances >= 0 && floor(part.instances) == part.instances])
    error_message = "parts: whole numbers of instances; at most one generator, which is one task."
  }
}

variable "web_max_instances" {
  description = "Most instances of the pages"
  type        = number
  default     = 4

  validation {
    condition     = var.web_max_instances >= 1
    error_message = "web_max_instances: at least 1."
  }
}

variable "environment" {
  description = "Environment of each part"
  type        = map(map(string))

  validation {
    condition     = alltrue(flatten([for variables in values(var.environment) : [for name in keys(variables) : !can(regex("PASSWORD|TOKEN|SECRET|^DATABASE_URL$", name))]]))
    error_message = "environment: secrets go into secret_files or secret_environment."
  }
}

variable "secret_environment" {
  description = "Part => environment variable => secret"
  type        = map(map(string))
  default     = {}
}

variable "secret_files" {
  description = "Folder below /run/secrets => secret, and the file's name in it"
  type        = map(object({ secret = string, file = string }))
}

variable "ingress" {
  description = "Where requests may come from"
  type        = string
  default     = "INGRESS_TRAFFIC_ALL"

  validation {
    condition     = contains(["INGRESS_TRAFFIC_ALL", "INGRESS_TRAFFIC_INTERNAL_ONLY", "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER"], var.ingress)
    error_message = "ingress: INGRESS_TRAFFIC_ALL, INGRESS_TRAFFIC_INTERNAL_ONLY or INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER."
  }
}

variable "iap" {
  description = "Identity-Aware Proxy in front of the pages: a Google login in the browser"
  type        = bool
  default     = false
}

variable "users" {
  description = "Who may open the pages and call the API: any name => IAM member"
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for member in values(var.users) : !contains(["allUsers", "allAuthenticatedUsers"], member)])
    error_message = "users: name them; the pages are not for everybody."
  }
}

variable "protect" {
  description = "Refuse to delete what runs"
  type        = bool
  default     = true
}

variable "labels" {
  description = "Labels of what runs"
  type        = map(string)
  default     = {}
}
