variable "project_id" {
  description = "Project of the cluster; part of its address"
  type        = string
}

variable "name" {
  description = "Name of the cluster"
  type        = string
}

variable "region" {
  description = "Region of the cluster"
  type        = string
}

variable "subnet" {
  description = "Subnet in which the brokers get their addresses: projects/../regions/../subnetworks/.."
  type        = string
}

variable "topics" {
  description = "Topics of events"
  type        = list(string)

  validation {
    condition     = length(var.topics) > 0 && alltrue([for topic in var.topics : can(regex("^[a-zA-Z0-9._-]{1,249}$", topic))])
    error_message = "topics: at least one; letters, digits, dots, underscores and hyphens."
  }

  validation {
    condition     = !contains(var.topics, "generator_plan") && !contains(var.topics, "watermarks")
    error_message = "topics: generator_plan and watermarks are made by the module itself."
  }
}

variable "partitions" {
  description = "Partitions of each topic of events; it can grow, never shrink"
  type        = number
  default     = 3

  validation {
    condition     = var.partitions >= 1 && var.partitions <= 100
    error_message = "partitions: 1 to 100."
  }
}

variable "retention_days" {
  description = "Days (of the events' own time) for which records are kept; null: for good. A history that is replayed must be younger."
  type        = number
  default     = null

  validation {
    condition     = var.retention_days == null || try(var.retention_days >= 7, false)
    error_message = "retention_days: at least 7, or null."
  }
}

variable "vcpus" {
  description = "Processors of the whole cluster"
  type        = number
  default     = 3

  validation {
    condition     = var.vcpus >= 3 && floor(var.vcpus) == var.vcpus
    error_message = "vcpus: a whole number, at least 3 (one for each zone)."
  }
}

variable "memory_gib_per_vcpu" {
  description = "Memory for each processor"
  type        = number
  default     = 1

  validation {
    condition     = var.memory_gib_per_vcpu >= 1 && var.memory_gib_per_vcpu <= 8
    error_message = "memory_gib_per_vcpu: 1 to 8."
  }
}

variable "group" {
  description = "Consumer group of the streaming job"
  type        = string
  default     = "streamify-stream"
}

variable "principals" {
  description = "E-mail addresses of the accounts that speak Kafka"
  type        = object({ generator = string, stream = string, worker = string })
}

variable "admins" {
  description = "E-mail addresses of those who may do everything on the cluster"
  type        = list(string)
  default     = []
}

variable "protect" {
  description = "Refuse to delete the cluster and its topics"
  type        = bool
  default     = true
}

variable "labels" {
  description = "Labels of the cluster"
  type        = map(string)
  default     = {}
}
