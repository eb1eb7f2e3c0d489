resource "google_monitoring_notification_channel" "email" {
  for_each     = var.alert_emails
  display_name = each.value
  type         = "email"
  labels       = { email_address = each.value }
  depends_on   = [google_project_service.this]
}

locals {
  channels = [for channel in google_monitoring_notification_channel.email : channel.id]

  measured = {
    errors = {
      title    = "${var.name}: requests fail"
      duration = "300s"
      # One failure among three requests is a large share, but not an incident.
      query = "${local.failed_share} > ${var.alert_beyond.failed_share} and sum(increase(run_googleapis_com:request_count{${local.platform},response_code_class=\"5xx\"}[10m])) >= 5"
      help  = "More than ${100 * var.alert_beyond.failed_share} % of the requests in ten minutes failed with a 5xx status. The log names each with its release. If it began with a deployment, run the job `rollback`."
    }
    latency = {
      title    = "${var.name}: responses are slow"
      duration = "300s"
      query    = "${local.p95} > ${1000 * var.alert_beyond.p95_seconds} and sum(increase(run_googleapis_com:request_count{${local.platform}}[10m])) >= 20"
      help     = "5 % of the requests in ten minutes took longer than ${var.alert_beyond.p95_seconds} s. Check the number of instances against `max_instances`, large images and batches, and cold starts."
    }
    split = {
      title    = "${var.name}: two revisions have traffic"
      duration = "3000s"
      # A rollout takes 45 minutes at most. Its test requests are too few to count.
      query = "count(sum by (revision_name) (increase(run_googleapis_com:request_count{${local.platform}}[10m])) > 200) > 1"
      help  = "Users have been on two revisions for longer than a rollout takes. Run `python -m training settle`, or the scheduled pipeline with SCHEDULE=drift."
    }
  }

  seen = {
    start = {
      title  = "${var.name}: an instance does not start"
      filter = local.start_failures
      labels = { revision = "EXTRACT(resource.labels.revision_name)" }
      help   = "Revision $${log.extracted_label.revision}. The last line of the function's log has the reason: a missing, damaged or unreadable release, or an invalid setting. During a deployment the candidate failed and got no traffic."
    }
    drift = {
      title  = "${var.name}: the predictions drift"
      filter = "log_id(\"${local.drift_log}\") AND severity>=WARNING"
      labels = {
        found   = "EXTRACT(jsonPayload.message)"
        release = "EXTRACT(jsonPayload.release)"
      }
      help = "Release $${log.extracted_label.release}: $${log.extracted_label.found}. The users or their images changed, or the model fails. Read the table in the log of the job `drift` before retraining."
    }
    feedback = {
      title  = "${var.name}: predictions are worse by true labels"
      filter = "log_id(\"${local.feedback_log}\") AND severity>=WARNING"
      labels = {
        found   = "EXTRACT(jsonPayload.message)"
        release = "EXTRACT(jsonPayload.release)"
      }
      help = "Release $${log.extracted_label.release}: $${log.extracted_label.found}. Faces with true labels show it. Read the table in the log of the job `feedback`, and train with such faces."
    }
  }
}

resource "google_monitoring_alert_policy" "measured" {
  for_each              = local.measured
  display_name          = each.value.title
  combiner              = "OR"
  notification_channels = local.channels

  conditions {
    display_name = each.value.title
    condition_prometheus_query_language {
      query               = each.value.query
      duration            = each.value.duration
      evaluation_interval = "60s"
      # The platform's metrics exist only after the first request.
      disable_metric_validation = true
    }
  }

  documentation {
    content = each.value.help
  }

  depends_on = [google_project_service.this]
}

resource "google_monitoring_alert_policy" "seen" {
  for_each              = local.seen
  display_name          = each.value.title
  combiner              = "OR"
  notification_channels = local.channels

  conditions {
    display_name = each.value.title
    condition_matched_log {
      filter           = each.value.filter
      label_extractors = each.value.labels
    }
  }

  alert_strategy {
    notification_rate_limit {
      period = "3600s"
    }
  }

  documentation {
    content = each.value.help
  }

  depends_on = [google_project_service.this]
}
