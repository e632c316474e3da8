variable "name" {
  description = "Name of the network and prefix of what is in it"
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,29}$", var.name))
    error_message = "name: 2 to 30 lower-case letters, digits and hyphens, beginning with a letter."
  }
}

variable "region" {
  description = "Region of the subnets"
  type        = string
}

variable "subnets" {
  description = "Range of each subnet: `apps` for Cloud Run, `kafka` for the brokers' endpoints"
  type        = map(string)
  default     = { apps = "10.20.0.0/22", kafka = "10.20.8.0/24" }

  validation {
    condition     = alltrue([for name in ["apps", "kafka"] : contains(keys(var.subnets), name)])
    error_message = "subnets: `apps` and `kafka` are needed."
  }

  validation {
    condition     = alltrue([for range in values(var.subnets) : can(cidrnetmask(range)) && can(regex("^(10\\.|172\\.(1[6-9]|2[0-9]|3[01])\\.|192\\.168\\.)", range))])
    error_message = "subnets: each needs a private IPv4 range, such as 10.20.0.0/22."
  }

  validation {
    condition     = alltrue([for range in values(var.subnets) : try(tonumber(split("/", range)[1]) <= 26, false)])
    error_message = "subnets: a range must be /26 or larger: Cloud Run takes addresses in blocks of 16."
  }
}

variable "services_range" {
  description = "Range that Google's managed services (Cloud SQL) take their addresses from"
  type        = string
  default     = "10.20.16.0/20"

  validation {
    condition     = can(cidrnetmask(var.services_range)) && try(tonumber(split("/", var.services_range)[1]) <= 24, false)
    error_message = "services_range: an IPv4 range of /24 or larger, such as 10.20.16.0/20."
  }
}

variable "app_tag" {
  description = "Network tag of the applications"
  type        = string
  default     = "streamify-app"
}

variable "iap_tag" {
  description = "Network tag of machines that people may reach through Identity-Aware Proxy"
  type        = string
  default     = "streamify-iap"
}

variable "internet_ports" {
  description = "TCP ports that applications may reach on the internet; empty: none"
  type        = list(string)
  default     = ["443"]

  validation {
    condition     = alltrue([for port in var.internet_ports : can(regex("^[0-9]+$", port)) && try(tonumber(port) >= 1 && tonumber(port) <= 65535, false)])
    error_message = "internet_ports: single port numbers from 1 to 65535, not ranges."
  }
}

variable "flow_sampling" {
  description = "Share of the flows that are logged"
  type        = number
  default     = 0.5

  validation {
    condition     = var.flow_sampling > 0 && var.flow_sampling <= 1
    error_message = "flow_sampling: greater than 0, at most 1."
  }
}
