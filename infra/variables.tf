variable "project_id" {
  description = "Google Cloud project of all resources."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id is \"${var.project_id}\", which is not a project id (6 to 30 of a-z, 0-9 and -, a letter first); `gcloud projects list` shows yours. The display name and the number do not work."
  }
}

variable "region" {
  description = "Region of the buckets, the image repository and the service."
  type        = string
  default     = "europe-west1"

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]{1,2}$", var.region))
    error_message = "region is \"${var.region}\", which is not a region; use one of `gcloud run regions list`, such as europe-west1, without the -b of a zone."
  }
}

variable "name" {
  description = "Name of the service, and prefix of the names of the service accounts and the identity pool."
  type        = string
  default     = "age-gender"

  validation {
    # A service account name has at most 30 characters, and "-training" needs 9 of them.
    condition     = can(regex("^[a-z][a-z0-9-]{2,19}[a-z0-9]$", var.name))
    error_message = "name is \"${var.name}\" (${length(var.name)} characters); use 4 to 21 of a-z, 0-9 and -, a letter first and no - last."
  }
}

variable "gitlab_url" {
  description = "Address of GitLab, the issuer of the identity tokens, without a slash at the end."
  type        = string
  default     = "https://gitlab.com"

  validation {
    condition     = can(regex("^https://[^/]+$", var.gitlab_url))
    error_message = "gitlab_url is \"${var.gitlab_url}\"; use https:// and the host only, such as https://gitlab.com."
  }
}

variable "gitlab_project_id" {
  description = "Number of the GitLab project whose branch gets access. Unlike the path it survives a rename, and another project cannot get it."
  type        = string

  validation {
    condition     = can(regex("^[1-9][0-9]*$", var.gitlab_project_id))
    error_message = "gitlab_project_id is \"${var.gitlab_project_id}\"; use the project's number, not its path: GitLab shows it under Settings > General."
  }
}

variable "gitlab_project_path" {
  description = "Path of the GitLab project, such as group/age-gender. The signatures of releases name it, and only its .gitlab-ci.yml gets access, which requires GitLab 19.0 or later. Without it `deploy` trusts no signature and fails unless you set TRUSTED_IDENTITY or TRUSTED_KEY."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^([\\w.-]+(/[\\w.-]+)+)?$", var.gitlab_project_path))
    error_message = "gitlab_project_path is \"${var.gitlab_project_path}\"; use group/project, without the host."
  }
}

variable "gitlab_branch" {
  description = "Default branch of the GitLab project, protected. Only its jobs get access."
  type        = string
  default     = "main"

  validation {
    condition     = can(regex("^[A-Za-z0-9][A-Za-z0-9._/-]*$", var.gitlab_branch)) && !startswith(var.gitlab_branch, "refs/")
    error_message = "gitlab_branch is \"${var.gitlab_branch}\"; use the name of the branch, such as main, without refs/heads/."
  }
}

variable "state_bucket" {
  description = "Bucket of the Terraform state, which jobs of GitLab then read to plan. Empty for no such jobs."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^([a-z0-9][a-z0-9._-]{1,61}[a-z0-9])?$", var.state_bucket))
    error_message = "state_bucket is \"${var.state_bucket}\"; use the name of the bucket, such as my-project-terraform, without gs://."
  }
}

variable "gitlab_infra_branch" {
  description = "Protected branch whose merge requests are planned. Everyone who may push to it can read the state. Empty for plans of the default branch only."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^([A-Za-z0-9][A-Za-z0-9._/-]*)?$", var.gitlab_infra_branch)) && !startswith(var.gitlab_infra_branch, "refs/")
    error_message = "gitlab_infra_branch is \"${var.gitlab_infra_branch}\"; use the name of the branch, such as infra, without refs/heads/."
  }
}

variable "protected_environments" {
  description = "Whether GitLab protects the environments `candidate` and `production` (Premium). Then only jobs of protected environments can deploy."
  type        = bool
  default     = false
}

variable "public" {
  description = "Whether the service is public. Otherwise only accounts with roles/run.invoker may send requests."
  type        = bool
  default     = false
}

variable "memory" {
  description = "Memory of an instance. The process needs about 90 MB, and decoding one image of the largest allowed size another 150 MB."
  type        = string
  default     = "512Mi"

  validation {
    # One vCPU allows 128 MiB to 4 GiB, and the second generation requires 512 MiB.
    condition     = contains(["512Mi", "1Gi", "2Gi", "4Gi"], var.memory)
    error_message = "memory is \"${var.memory}\"; use 512Mi, 1Gi, 2Gi or 4Gi, which one vCPU allows."
  }
}

variable "concurrency" {
  description = "Concurrent requests of an instance."
  type        = number
  default     = 8

  validation {
    condition     = var.concurrency >= 1 && var.concurrency <= 80 && floor(var.concurrency) == var.concurrency
    error_message = "concurrency is ${var.concurrency}; use a whole number from 1 to 80."
  }
}

variable "max_instances" {
  description = "Maximum number of instances of all revisions together, which limits the cost of a flood of requests."
  type        = number
  default     = 10

  validation {
    condition     = var.max_instances >= 2 && var.max_instances <= 100 && floor(var.max_instances) == var.max_instances
    error_message = "max_instances is ${var.max_instances}; use a whole number from 2 (a canary has two revisions) to 100."
  }
}

variable "settings" {
  description = "Settings of the function, by name; docs/reference/settings.md lists them. The pipeline sets MODEL_URI, MODEL_SHA256 and MANIFEST_SHA256. Store an API_KEY in Secret Manager, not in the state."
  type        = map(string)
  default     = { HEADS = "age,gender" }
}

variable "deletion_protection" {
  description = "Whether Terraform refuses to destroy the service. To tear it down, apply `false` first."
  type        = bool
  default     = true
}

variable "alert_emails" {
  description = "Recipients of alerts about errors, slow responses, failed starts, drift and spending. Each address must confirm."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for address in var.alert_emails : can(regex("^[^@\\s]+@[^@\\s]+\\.[^@\\s]+$", address))])
    error_message = "alert_emails holds ${join(", ", [for address in var.alert_emails : address if !can(regex("^[^@\\s]+@[^@\\s]+\\.[^@\\s]+$", address))])}; use addresses such as team@example.com."
  }
}

variable "alert_beyond" {
  description = "Limits of the alerts: the share of requests that fail (5xx), and the 95th percentile of the latency in seconds."
  type = object({
    failed_share = optional(number, 0.05)
    p95_seconds  = optional(number, 1)
  })
  default = {}

  validation {
    condition     = var.alert_beyond.failed_share > 0 && var.alert_beyond.failed_share < 1
    error_message = "alert_beyond.failed_share is ${var.alert_beyond.failed_share}; use a share above 0 and below 1, such as 0.05."
  }
  validation {
    condition     = var.alert_beyond.p95_seconds > 0 && var.alert_beyond.p95_seconds <= 60
    error_message = "alert_beyond.p95_seconds is ${var.alert_beyond.p95_seconds}; use more than 0 s and at most 60 s, the timeout of a request."
  }
}

variable "billing_account" {
  description = "Billing account of the project's budget. Empty for no budget."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^([0-9A-F]{6}-[0-9A-F]{6}-[0-9A-F]{6})?$", var.billing_account))
    error_message = "billing_account is \"${var.billing_account}\"; use the form 012345-6789AB-CDEF01; `gcloud billing accounts list` shows yours."
  }
}

variable "monthly_budget" {
  description = "Monthly budget of the project, in whole units of the billing account's currency. Exceeding it switches nothing off."
  type        = number
  default     = 50

  validation {
    condition     = var.monthly_budget >= 1 && floor(var.monthly_budget) == var.monthly_budget
    error_message = "monthly_budget is ${var.monthly_budget}; use a whole number of at least 1."
  }
}

variable "gpu_runner_zone" {
  description = "Zone of a GPU runner for training jobs, if you have no GPU runner on GitLab. Empty for no runner."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^([a-z]+-[a-z]+[0-9]{1,2}-[a-z])?$", var.gpu_runner_zone))
    error_message = "gpu_runner_zone is \"${var.gpu_runner_zone}\", which is not a zone; use one such as europe-west1-b, from `gcloud compute accelerator-types list --filter=name=nvidia-tesla-t4`."
  }
}

variable "gpu_runner_version" {
  description = "Version of GitLab Runner on the GPU runner."
  type        = string
  default     = "19.3.0"

  validation {
    condition     = can(regex("^[0-9]+\\.[0-9]+\\.[0-9]+$", var.gpu_runner_version))
    error_message = "gpu_runner_version is \"${var.gpu_runner_version}\"; use a version such as 19.3.0."
  }
}

variable "gpu_runner_sha256" {
  description = "SHA-256 of binaries/gitlab-runner-linux-amd64 of that version, which infra/README.md tells how to get. Required for a GPU runner."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^[0-9a-f]{64}$", var.gpu_runner_sha256)) || (var.gpu_runner_sha256 == "" && var.gpu_runner_zone == "")
    error_message = "gpu_runner_sha256 is \"${var.gpu_runner_sha256}\"; a GPU runner needs the SHA-256 of gitlab-runner-linux-amd64 ${var.gpu_runner_version}, 64 hex digits; infra/README.md tells how to get it."
  }
}
