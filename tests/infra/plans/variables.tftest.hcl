# Invalid variables are refused before any request to Google.
mock_provider "google" { source = "./tests/mocks" }

variables {
  project_id        = "faces-project"
  gitlab_project_id = "4711"
}

run "display_name_as_project_id_is_refused" {
  command = plan
  variables { project_id = "My Project" }
  expect_failures = [var.project_id]
}

run "zone_as_region_is_refused" {
  command = plan
  variables { region = "europe-west1-b" }
  expect_failures = [var.region]
}

run "name_too_long_for_service_accounts_is_refused" {
  command = plan
  variables { name = "age-gender-ethnicity-x" }
  expect_failures = [var.name]
}

run "path_as_gitlab_project_id_is_refused" {
  command = plan
  variables { gitlab_project_id = "group/age-gender" }
  expect_failures = [var.gitlab_project_id]
}

run "address_as_gitlab_project_path_is_refused" {
  command = plan
  variables { gitlab_project_path = "https://gitlab.com/group/age-gender" }
  expect_failures = [var.gitlab_project_path]
}

run "slash_at_the_end_of_the_issuer_is_refused" {
  command = plan
  variables { gitlab_url = "https://gitlab.com/" }
  expect_failures = [var.gitlab_url]
}

run "memory_that_one_vcpu_does_not_allow_is_refused" {
  command = plan
  variables { memory = "8Gi" }
  expect_failures = [var.memory]
}

run "fractional_concurrency_is_refused" {
  command = plan
  variables { concurrency = 0.5 }
  expect_failures = [var.concurrency]
}

run "single_instance_is_refused" {
  command = plan
  variables { max_instances = 1 }
  expect_failures = [var.max_instances]
}

run "alert_without_an_address_is_refused" {
  command = plan
  variables { alert_emails = ["team"] }
  expect_failures = [var.alert_emails]
}

run "percentage_as_share_is_refused" {
  command = plan
  variables { alert_beyond = { failed_share = 5 } }
  expect_failures = [var.alert_beyond]
}

run "latency_limit_above_the_timeout_is_refused" {
  command = plan
  variables { alert_beyond = { p95_seconds = 120 } }
  expect_failures = [var.alert_beyond]
}

run "name_as_billing_account_is_refused" {
  command = plan
  variables { billing_account = "My Billing Account" }
  expect_failures = [var.billing_account]
}

run "zero_budget_is_refused" {
  command = plan
  variables { monthly_budget = 0 }
  expect_failures = [var.monthly_budget]
}

run "ref_as_branch_is_refused" {
  command = plan
  variables { gitlab_branch = "refs/heads/main" }
  expect_failures = [var.gitlab_branch]
}

run "gpu_runner_without_a_digest_is_refused" {
  command = plan
  variables { gpu_runner_zone = "europe-west1-b" }
  expect_failures = [var.gpu_runner_sha256]
}

run "latest_as_version_of_the_runner_is_refused" {
  command = plan
  variables { gpu_runner_version = "latest" }
  expect_failures = [var.gpu_runner_version]
}

run "region_as_zone_is_refused" {
  command = plan
  variables { gpu_runner_zone = "europe-west1" }
  expect_failures = [var.gpu_runner_zone]
}

run "api_key_in_settings_is_refused" {
  command = plan
  variables { settings = { API_KEY = "secret" } }
  expect_failures = [google_cloud_run_v2_service.function]
}

run "model_uri_in_settings_is_refused" {
  command = plan
  variables { settings = { MODEL_URI = "gs://releases/1" } }
  expect_failures = [google_cloud_run_v2_service.function]
}

run "address_as_state_bucket_is_refused" {
  command = plan
  variables { state_bucket = "gs://my-project-terraform" }
  expect_failures = [var.state_bucket]
}

run "ref_as_infra_branch_is_refused" {
  command = plan
  variables { gitlab_infra_branch = "refs/heads/infra" }
  expect_failures = [var.gitlab_infra_branch]
}
