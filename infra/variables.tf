variable "project_id" {
  description = "Google Cloud project that everything is made in."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id is \"${var.project_id}\", which is no project id (6 to 30 of a-z, 0-9 and -, a letter first); `gcloud projects list` shows yours. The display name and the number do not work here."
  }
}

variable "region" {
  description = "Region of the buckets, the image repository and the function."
  type        = string
  default     = "europe-west1"

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]{1,2}$", var.region))
    error_message = "region is \"${var.region}\", which is no region; write one such as europe-west1, without a zone's -b, out of `gcloud run regions list`."
  }
}

variable "name" {
  description = "Name of the function; it also begins the names of the service accounts and of the identity pool."
  type        = string
  default     = "age-gender"

  validation {
    # A service account's name ends at 30 characters, and "-training" takes 9 of them.
    condition     = can(regex("^[a-z][a-z0-9-]{2,19}[a-z0-9]$", var.name))
    error_message = "name is \"${var.name}\" (${length(var.name)} characters); use 4 to 21 of a-z, 0-9 and -, a letter first and no - last."
  }
}

variable "gitlab_url" {
  description = "GitLab that signs the identity tokens, as its tokens name it: no slash at the end."
  type        = string
  default     = "https://gitlab.com"

  validation {
    condition     = can(regex("^https://[^/]+$", var.gitlab_url))
    error_message = "gitlab_url is \"${var.gitlab_url}\"; write https:// and the host alone, as in https://gitlab.com."
  }
}

variable "gitlab_project_id" {
  description = "Number of the GitLab project whose protected branches and tags may act here. Unlike its path, it survives a rename and can't be taken over."
  type        = string

  validation {
    condition     = can(regex("^[1-9][0-9]*$", var.gitlab_project_id))
    error_message = "gitlab_project_id is \"${var.gitlab_project_id}\"; it is a number, not a path: GitLab shows it under Settings > General."
  }
}

variable "gitlab_project_path" {
  description = "Path of the GitLab project, as in group/age-gender; only the signatures of releases name it. Empty, nobody's signature is trusted and `deploy` stops until TRUSTED_IDENTITY or TRUSTED_KEY is set otherwise."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^([\\w.-]+(/[\\w.-]+)+)?$", var.gitlab_project_path))
    error_message = "gitlab_project_path is \"${var.gitlab_project_path}\"; write group/project, without the host."
  }
}

variable "public" {
  description = "Whether everybody may ask the function; otherwise only the accounts that are given roles/run.invoker."
  type        = bool
  default     = false
}

variable "memory" {
  description = "Memory of one instance. A process holds about 90 MB; a picture of the largest size allowed takes another 150 MB while it is decoded."
  type        = string
  default     = "512Mi"

  validation {
    # One vCPU goes with 128 MiB to 4 GiB, and the second generation wants 512 MiB.
    condition     = contains(["512Mi", "1Gi", "2Gi", "4Gi"], var.memory)
    error_message = "memory is \"${var.memory}\"; one vCPU goes with 512Mi, 1Gi, 2Gi or 4Gi."
  }
}

variable "concurrency" {
  description = "Requests that one instance gets at a time."
  type        = number
  default     = 8

  validation {
    condition     = var.concurrency >= 1 && var.concurrency <= 80 && floor(var.concurrency) == var.concurrency
    error_message = "concurrency is ${var.concurrency}; one vCPU serves 1 to 80 requests at a time, a whole number."
  }
}

variable "max_instances" {
  description = "Instances at most, of all revisions together: the bound on what a flood of requests costs."
  type        = number
  default     = 10

  validation {
    condition     = var.max_instances >= 2 && var.max_instances <= 100 && floor(var.max_instances) == var.max_instances
    error_message = "max_instances is ${var.max_instances}; use 2 (during a canary two revisions serve) to 100, a whole number."
  }
}

variable "settings" {
  description = "Settings of the function, by name; docs/reference/settings.md lists them. The pipeline sets MODEL_URI and MODEL_SHA256; an API_KEY belongs in Secret Manager, not in the state."
  type        = map(string)
  default     = { HEADS = "age,gender" }
}

variable "deletion_protection" {
  description = "Whether the service is kept from being destroyed. To tear it down, apply `false` first."
  type        = bool
  default     = true
}

variable "alert_emails" {
  description = "Who is told of errors, slow answers, failed starts, drift and spending. Each address confirms itself."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for address in var.alert_emails : can(regex("^[^@\\s]+@[^@\\s]+\\.[^@\\s]+$", address))])
    error_message = "alert_emails holds ${join(", ", [for address in var.alert_emails : address if !can(regex("^[^@\\s]+@[^@\\s]+\\.[^@\\s]+$", address))])}; write addresses such as team@example.com."
  }
}

variable "alert_beyond" {
  description = "What is too much: the share of requests that fail here (5xx), and the seconds within which 95 % are answered."
  type = object({
    failed_share = optional(number, 0.05)
    p95_seconds  = optional(number, 1)
  })
  default = {}

  validation {
    condition     = var.alert_beyond.failed_share > 0 && var.alert_beyond.failed_share < 1
    error_message = "alert_beyond.failed_share is ${var.alert_beyond.failed_share}; it is a share above 0 and below 1, as in 0.05."
  }
  validation {
    condition     = var.alert_beyond.p95_seconds > 0 && var.alert_beyond.p95_seconds <= 60
    error_message = "alert_beyond.p95_seconds is ${var.alert_beyond.p95_seconds}; seconds above 0, and at most the 60 after which a request ends."
  }
}

variable "billing_account" {
  description = "Billing account whose budget watches this project; empty, there is no budget."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^([0-9A-F]{6}-[0-9A-F]{6}-[0-9A-F]{6})?$", var.billing_account))
    error_message = "billing_account is \"${var.billing_account}\"; it looks like 012345-6789AB-CDEF01, as `gcloud billing accounts list` shows it."
  }
}

variable "monthly_budget" {
  description = "What this project may cost a month, in whole units of the billing account's currency; nothing is switched off beyond it."
  type        = number
  default     = 50

  validation {
    condition     = var.monthly_budget >= 1 && floor(var.monthly_budget) == var.monthly_budget
    error_message = "monthly_budget is ${var.monthly_budget}; write a whole number, 1 or more."
  }
}

variable "gpu_runner_zone" {
  description = "Zone of a GPU machine that takes GitLab's training jobs, for those without GitLab's own; empty, there is none."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^([a-z]+-[a-z]+[0-9]{1,2}-[a-z])?$", var.gpu_runner_zone))
    error_message = "gpu_runner_zone is \"${var.gpu_runner_zone}\", which is no zone; write one such as europe-west1-b, out of `gcloud compute accelerator-types list --filter=name=nvidia-tesla-t4`."
  }
}
