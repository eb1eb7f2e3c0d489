locals {
  # PromQL replaces hyphens with underscores, so avoid hyphens in names.
  metric = replace(var.name, "-", "_")

  system_lines = join(" AND ", [
    "resource.type=\"cloud_run_revision\"",
    "resource.labels.service_name=\"${var.name}\"",
    "log_id(\"run.googleapis.com/varlog/system\")",
  ])
  # Messages of the platform: the probe failed, or the process exited with an error.
  start_failures = "${local.system_lines} AND textPayload=~\"(STARTUP .+ probe failed|Container called exit\\([1-9])\""

  # Heads of function/serving/heads.py. Heads that a deployment does not predict or log have no data.
  heads = ["age", "gender", "ethnicity"]

  counters = {
    requests = {
      description = "Requests by status class and release"
      filter      = local.request_lines
      labels = {
        class   = "REGEXP_EXTRACT(httpRequest.status, \"^([1-5])\")"
        release = "EXTRACT(jsonPayload.release)"
      }
    }
    warned = {
      description = "Requests with a warning"
      filter      = "${local.request_lines} AND jsonPayload.warnings:*"
      labels      = { release = "EXTRACT(jsonPayload.release)" }
    }
    start_failures = {
      description = "Instances that did not start, or exited with an error"
      filter      = local.start_failures
      labels      = { revision = "EXTRACT(resource.labels.revision_name)" }
    }
  }

  distributions = merge({
    latency = {
      description = "Latency of requests in the function, in seconds"
      filter      = local.request_lines
      value       = "EXTRACT(httpRequest.latency)"
      unit        = "s"
      # 1 ms to 66 s, each bucket 20 % above the previous
      buckets = { scale = 0.001, growth = 1.2, count = 61 }
      labels  = { release = "EXTRACT(jsonPayload.release)" }
    }
    }, {
    for head in local.heads : "drift_${head}" => {
      description = "Population stability index of the predicted ${head} against the evaluation of the release"
      filter      = "log_id(\"${local.drift_log}\")"
      value       = "EXTRACT(jsonPayload.psi.${head})"
      unit        = "1"
      # 0.001 to 17, each bucket 50 % above the previous
      buckets = { scale = 0.001, growth = 1.5, count = 24 }
      labels  = { release = "EXTRACT(jsonPayload.release)" }
    }
  })
}

resource "google_logging_metric" "counter" {
  for_each         = local.counters
  name             = "${local.metric}_${each.key}"
  description      = each.value.description
  filter           = each.value.filter
  label_extractors = each.value.labels

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
    dynamic "labels" {
      for_each = each.value.labels
      content {
        key = labels.key
      }
    }
  }

  depends_on = [google_project_service.this]
}

resource "google_logging_metric" "distribution" {
  for_each         = local.distributions
  name             = "${local.metric}_${each.key}"
  description      = each.value.description
  filter           = each.value.filter
  label_extractors = each.value.labels
  value_extractor  = each.value.value

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "DISTRIBUTION"
    unit        = each.value.unit
    dynamic "labels" {
      for_each = each.value.labels
      content {
        key = labels.key
      }
    }
  }

  bucket_options {
    exponential_buckets {
      scale              = each.value.buckets.scale
      growth_factor      = each.value.buckets.growth
      num_finite_buckets = each.value.buckets.count
    }
  }

  depends_on = [google_project_service.this]
}
