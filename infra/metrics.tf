locals {
  # No hyphens: PromQL writes them as underscores, and so name and query stay the same word.
  metric = replace(var.name, "-", "_")

  system_lines = join(" AND ", [
    "resource.type=\"cloud_run_revision\"",
    "resource.labels.service_name=\"${var.name}\"",
    "log_id(\"run.googleapis.com/varlog/system\")",
  ])
  # In the platform's own words: the probe gave up, or the process ended with an error.
  start_failures = "${local.system_lines} AND textPayload=~\"(STARTUP .+ probe failed|Container called exit\\([1-9])\""

  # Those of function/serving/heads.py. What a deployment does not answer, or not count, stays empty.
  heads = ["age", "gender", "ethnicity"]

  counters = {
    requests = {
      description = "Requests by the first digit of their status and by release"
      filter      = local.request_lines
      labels = {
        class   = "REGEXP_EXTRACT(httpRequest.status, \"^([1-5])\")"
        release = "EXTRACT(jsonPayload.release)"
      }
    }
    warned = {
      description = "Requests with a picture that is plainly no face"
      filter      = "${local.request_lines} AND jsonPayload.warnings:*"
      labels      = { release = "EXTRACT(jsonPayload.release)" }
    }
    start_failures = {
      description = "Instances that did not start, or ended with an error"
      filter      = local.start_failures
      labels      = { revision = "EXTRACT(resource.labels.revision_name)" }
    }
  }

  distributions = merge({
    latency = {
      description = "Seconds from a request's arrival in the function to its answer"
      filter      = local.request_lines
      value       = "EXTRACT(httpRequest.latency)"
      unit        = "s"
      # 1 ms to 66 s, each a fifth above the one before
      buckets = { scale = 0.001, growth = 1.2, count = 61 }
      labels  = { release = "EXTRACT(jsonPayload.release)" }
    }
    }, {
    for head in local.heads : "drift_${head}" => {
      description = "Population stability index of the answers on ${head} against the release's own evaluation"
      filter      = "log_id(\"${local.drift_log}\")"
      value       = "EXTRACT(jsonPayload.psi.${head})"
      unit        = "1"
      # 0.001 to 17, each half above the one before
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
