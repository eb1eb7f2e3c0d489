# Metrics and alerts.
mock_provider "google" { source = "./tests/mocks" }

variables {
  project_id        = "faces-project"
  gitlab_project_id = "4711"
  alert_emails      = ["team@example.com", "boss@example.com"]
}

run "request_lines_go_to_the_log_bucket" {
  assert {
    condition     = google_logging_project_sink.requests.destination == "storage.googleapis.com/faces-project-logs"
    error_message = "The request lines go to ${google_logging_project_sink.requests.destination}."
  }
  assert {
    condition     = google_logging_project_sink.requests.filter == google_logging_metric.counter["requests"].filter && strcontains(google_logging_project_sink.requests.filter, "resource.labels.service_name=\"age-gender\"")
    error_message = "Drift check and metrics have different filters: ${google_logging_project_sink.requests.filter}"
  }
  assert {
    condition     = { for role, grant in google_storage_bucket_iam_member.logs : role => grant.member } == { "roles/storage.objectCreator" = "sink", "roles/storage.objectViewer" = "training" }
    error_message = "Another account may read or write the lines."
  }
}

run "every_label_is_extracted" {
  assert {
    condition = alltrue([
      for metric in concat(values(google_logging_metric.counter), values(google_logging_metric.distribution)) :
      toset(one(metric.metric_descriptor).labels[*].key) == toset(keys(metric.label_extractors))
    ])
    error_message = "Google refuses labels without extractors and extractors without labels."
  }
}

run "alerts_go_to_every_address" {
  assert {
    condition     = { for address, channel in google_monitoring_notification_channel.email : address => channel.labels["email_address"] } == { "team@example.com" = "team@example.com", "boss@example.com" = "boss@example.com" }
    error_message = "An address is missing."
  }
  assert {
    condition = alltrue([
      for policy in concat(values(google_monitoring_alert_policy.measured), values(google_monitoring_alert_policy.seen)) :
      length(policy.notification_channels) == 2
    ])
    error_message = "An alert has no recipient."
  }
}

run "alerts_have_the_thresholds_given" {
  variables { alert_beyond = { failed_share = 0.01, p95_seconds = 2.5 } }
  assert {
    condition     = strcontains(google_monitoring_alert_policy.measured["errors"].conditions[0].condition_prometheus_query_language[0].query, "> 0.01 and")
    error_message = google_monitoring_alert_policy.measured["errors"].conditions[0].condition_prometheus_query_language[0].query
  }
  assert {
    # milliseconds
    condition     = strcontains(google_monitoring_alert_policy.measured["latency"].conditions[0].condition_prometheus_query_language[0].query, "> 2500 and")
    error_message = google_monitoring_alert_policy.measured["latency"].conditions[0].condition_prometheus_query_language[0].query
  }
}

run "alerts_on_drift_and_failed_starts_are_limited_to_one_an_hour" {
  assert {
    condition     = google_monitoring_alert_policy.seen["drift"].conditions[0].condition_matched_log[0].filter == "log_id(\"age-gender-drift\") AND severity>=WARNING"
    error_message = google_monitoring_alert_policy.seen["drift"].conditions[0].condition_matched_log[0].filter
  }
  assert {
    condition     = alltrue([for policy in google_monitoring_alert_policy.seen : policy.alert_strategy[0].notification_rate_limit[0].period == "3600s"])
    error_message = "Cloud Monitoring requires a rate limit for alerts on log lines."
  }
}

run "a_budget_needs_a_billing_account" {
  assert {
    condition     = length(google_billing_budget.project) == 0
    error_message = "There is a budget without a billing account."
  }
}

run "a_budget_alerts_before_it_is_spent" {
  variables {
    billing_account = "012345-6789AB-CDEF01"
    monthly_budget  = 80
    alert_emails    = []
  }
  assert {
    condition     = google_billing_budget.project[0].amount[0].specified_amount[0].units == "80"
    error_message = "The budget is ${google_billing_budget.project[0].amount[0].specified_amount[0].units}"
  }
  assert {
    condition     = contains([for rule in google_billing_budget.project[0].threshold_rules : rule.spend_basis], "FORECASTED_SPEND")
    error_message = "There is no alert before the budget is spent."
  }
  assert {
    condition     = length(google_billing_budget.project[0].all_updates_rule) == 0
    error_message = "A rule without a recipient is refused."
  }
}

run "a_budget_alerts_the_recipients" {
  variables {
    billing_account = "012345-6789AB-CDEF01"
    alert_emails    = ["team@example.com"]
  }
  assert {
    condition     = length(google_billing_budget.project[0].all_updates_rule[0].monitoring_notification_channels) == 1
    error_message = "The recipients get no alert."
  }
}
