# What can't be meant is refused before anything is asked of Google.
mock_provider "google" { source = "./tests/mocks" }

variables {
  project_id        = "faces-project"
  gitlab_project_id = "4711"
}

run "a_display_name_is_no_project_id" {
  command = plan
  variables { project_id = "My Project" }
  expect_failures = [var.project_id]
}

run "a_zone_is_no_region" {
  command = plan
  variables { region = "europe-west1-b" }
  expect_failures = [var.region]
}

run "a_service_account_name_would_be_too_long" {
  command = plan
  variables { name = "age-gender-ethnicity-x" }
  expect_failures = [var.name]
}

run "a_path_is_no_gitlab_project_id" {
  command = plan
  variables { gitlab_project_id = "group/age-gender" }
  expect_failures = [var.gitlab_project_id]
}

run "an_address_is_no_gitlab_project_path" {
  command = plan
  variables { gitlab_project_path = "https://gitlab.com/group/age-gender" }
  expect_failures = [var.gitlab_project_path]
}

run "the_issuer_has_no_slash_at_its_end" {
  command = plan
  variables { gitlab_url = "https://gitlab.com/" }
  expect_failures = [var.gitlab_url]
}

run "memory_is_one_of_the_sizes_of_one_vcpu" {
  command = plan
  variables { memory = "8Gi" }
  expect_failures = [var.memory]
}

run "concurrency_is_a_whole_number" {
  command = plan
  variables { concurrency = 0.5 }
  expect_failures = [var.concurrency]
}

run "a_canary_needs_two_instances" {
  command = plan
  variables { max_instances = 1 }
  expect_failures = [var.max_instances]
}

run "an_alert_needs_an_address" {
  command = plan
  variables { alert_emails = ["team"] }
  expect_failures = [var.alert_emails]
}

run "a_share_is_no_percentage" {
  command = plan
  variables { alert_beyond = { failed_share = 5 } }
  expect_failures = [var.alert_beyond]
}

run "no_request_takes_two_minutes" {
  command = plan
  variables { alert_beyond = { p95_seconds = 120 } }
  expect_failures = [var.alert_beyond]
}

run "a_billing_account_is_no_name" {
  command = plan
  variables { billing_account = "My Billing Account" }
  expect_failures = [var.billing_account]
}

run "a_budget_of_nothing_tells_at_once" {
  command = plan
  variables { monthly_budget = 0 }
  expect_failures = [var.monthly_budget]
}

run "a_region_is_no_zone" {
  command = plan
  variables { gpu_runner_zone = "europe-west1" }
  expect_failures = [var.gpu_runner_zone]
}

run "settings_take_no_key" {
  command = plan
  variables { settings = { API_KEY = "secret" } }
  expect_failures = [google_cloud_run_v2_service.function]
}

run "settings_leave_the_model_to_the_pipeline" {
  command = plan
  variables { settings = { MODEL_URI = "gs://releases/1" } }
  expect_failures = [google_cloud_run_v2_service.function]
}
