variable "project_id" {
  description = "Project that is watched"
  type        = string
}

variable "project_number" {
  description = "Its number"
  type        = string
}

variable "name" {
  description = "Name of the platform: prefix of what runs, and namespace of its metrics"
  type        = string
}

variable "emails" {
  description = "Who is told"
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for email in var.emails : can(regex("^[^@\\s]+@[^@\\s]+\\.[^@\\s]+$", email))])
    error_message = "emails: addresses such as ops@acme.example."
  }
}

variable "database_instance" {
  description = "Name of the Cloud SQL instance"
  type        = string
}

variable "max_connections" {
  description = "Its connections"
  type        = number
}

variable "rules" {
  description = "Alert rules of deploy/prometheus/alerts.yaml; patience is their `for`"
  type        = list(object({ alert = string, expr = string, patience = string, severity = string, summary = string, runbook = string }))

  validation {
    condition     = alltrue([for rule in var.rules : contains(["critical", "warning"], rule.severity) && can(regex("^[0-9]+[smh]$", rule.patience))])
    error_message = "rules: severity is critical or warning, patience is such as 90s, 5m or 1h."
  }
}

variable "uptime" {
  description = "Host of the pages for the check from outside; null: none (pages that are internal or behind Identity-Aware Proxy do not answer Monitoring)"
  type        = object({ host = string })
  default     = null
}

variable "budget" {
  description = "Billing account and what a month may cost; null: no budget"
  type        = object({ billing_account = string, monthly = number, currency = optional(string, "USD") })
  default     = null

  validation {
    condition     = var.budget == null || try(can(regex("^[0-9A-F]{6}-[0-9A-F]{6}-[0-9A-F]{6}$", var.budget.billing_account)) && var.budget.monthly > 0, false)
    error_message = "budget: billing_account such as 012345-6789AB-CDEF01, and a monthly amount above 0."
  }
}

variable "labels" {
  description = "Labels of policies and channels"
  type        = map(string)
  default     = {}
}
