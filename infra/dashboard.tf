locals {
  # Count and latency by the platform, including cold starts and requests that reached no instance.
  platform = "monitored_resource=\"cloud_run_revision\",service_name=\"${var.name}\""
  ours     = "logging_googleapis_com:user_${local.metric}"

  failed_share = "sum(increase(run_googleapis_com:request_count{${local.platform},response_code_class=\"5xx\"}[10m])) / sum(increase(run_googleapis_com:request_count{${local.platform}}[10m]))"
  # milliseconds
  p95 = "histogram_quantile(0.95, sum by (le) (increase(run_googleapis_com:request_latencies_bucket{${local.platform}}[10m])))"

  charts = merge({
    "Requests a second, by status class and release" = "sum by (class, release) (rate(${local.ours}_requests{monitored_resource=\"cloud_run_revision\"}[5m]))"
    "Share of requests that failed (5xx)"            = local.failed_share
    "95th percentile of all requests, ms"            = local.p95
    "95th percentile in the function, s, by release" = "histogram_quantile(0.95, sum by (le, release) (increase(${local.ours}_latency_bucket{monitored_resource=\"cloud_run_revision\"}[10m])))"
    "Instances"                                      = "sum(run_googleapis_com:container_instance_count{${local.platform}})"
    "Instances that did not start, by revision"      = "sum by (revision) (increase(${local.ours}_start_failures{monitored_resource=\"cloud_run_revision\"}[10m]))"
    "Share of requests with a warning, by release"   = "sum by (release) (increase(${local.ours}_warned{monitored_resource=\"cloud_run_revision\"}[1h])) / sum by (release) (increase(${local.ours}_requests{monitored_resource=\"cloud_run_revision\"}[1h]))"
    }, {
    for head in local.heads : "Drift of the predicted ${head} (PSI)" =>
    "sum(increase(${local.ours}_drift_${head}_sum[1d])) / sum(increase(${local.ours}_drift_${head}_count[1d]))"
  })
}

resource "google_monitoring_dashboard" "function" {
  dashboard_json = jsonencode({
    displayName = var.name
    gridLayout = {
      columns = "2"
      widgets = [
        for title, query in local.charts : {
          title   = title
          xyChart = { dataSets = [{ timeSeriesQuery = { prometheusQuery = query }, plotType = "LINE" }] }
        }
      ]
    }
  })

  depends_on = [google_logging_metric.counter, google_logging_metric.distribution]
}
