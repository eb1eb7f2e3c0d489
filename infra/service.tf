locals {
  # Allowed names in `settings`: all settings of the function except the API key and those that the pipeline sets.
  settings = [
    "AIP_HEALTH_ROUTE", "AIP_HTTP_PORT", "AIP_PREDICT_ROUTE", "CLOUD_RUN_TIMEOUT_SECONDS", "CORS_ORIGINS", "DEEPFACE",
    "DETECT", "HEADS", "KEEPALIVE_TIMEOUT", "LOG_FACES", "LOG_LEVEL", "LOG_PREDICTIONS", "MAX_ASPECT_RATIO", "MAX_FACES",
    "MAX_FULL_DECODE_PIXELS", "MAX_IMAGES", "MAX_PIXELS", "MAX_REQUEST_BYTES", "MIN_FACE_SCORE", "MIN_FACE_SIZE",
    "MIN_GROUP", "MIN_IMAGE_SIDE", "MODEL_CACHE", "MODEL_FETCH_TIMEOUT", "PRELOAD_DETECTOR", "REKOGNITION", "REQUEST_TIMEOUT",
    "THREADS", "WORKERS",
  ]
}

# The Cloud Run service. Terraform creates it with a placeholder image. The pipeline adds a revision for each release and
# each change of function/.
resource "google_cloud_run_v2_service" "function" {
  name                = var.name
  location            = var.region
  deletion_protection = var.deletion_protection

  # GitLab's runners send requests to the candidate. The invoker role below controls access.
  ingress = "INGRESS_TRAFFIC_ALL"

  scaling {
    min_instance_count = 0
    max_instance_count = var.max_instances
  }

  template {
    service_account                  = google_service_account.runtime.email
    max_instance_request_concurrency = var.concurrency
    # Longer than the function's REQUEST_TIMEOUT, which ends a request with a response.
    timeout = "60s"

    containers {
      image = "us-docker.pkg.dev/cloudrun/container/hello"

      resources {
        limits            = { cpu = "1", memory = var.memory }
        cpu_idle          = true
        startup_cpu_boost = true
      }

      dynamic "env" {
        for_each = merge({ GOOGLE_CLOUD_PROJECT = var.project_id }, var.settings)
        content {
          name  = env.key
          value = env.value
        }
      }

      # The release loads within MODEL_FETCH_TIMEOUT (20 s). The server listens after that.
      startup_probe {
        period_seconds    = 1
        timeout_seconds   = 1
        failure_threshold = 60
        http_get {
          path = "/health"
        }
      }

      liveness_probe {
        period_seconds    = 30
        timeout_seconds   = 5
        failure_threshold = 3
        http_get {
          path = "/health"
        }
      }
    }
  }

  lifecycle {
    precondition {
      condition     = length(setsubtract(keys(var.settings), local.settings)) == 0
      error_message = "settings contains ${join(", ", setsubtract(keys(var.settings), local.settings))}; allowed are ${join(", ", local.settings)}."
    }

    # The pipeline changes these. Terraform can only ignore `env` as a whole, hence the output `change_settings`. After
    # the first deployment the traffic names a revision, so changes by Terraform get no traffic before the next one.
    ignore_changes = [
      build_config,
      client,
      client_version,
      template[0].annotations,
      template[0].containers[0].base_image_uri,
      template[0].containers[0].env,
      template[0].containers[0].image,
      template[0].containers[0].name,
      template[0].labels,
      template[0].revision,
      traffic,
    ]
  }

  depends_on = [google_project_service.this]
}

resource "google_cloud_run_v2_service_iam_member" "everybody_asks" {
  count    = var.public ? 1 : 0
  name     = google_cloud_run_v2_service.function.name
  location = var.region
  role     = "roles/run.invoker"
  member   = "allUsers"
}

# The pipeline sends requests to a candidate before the rollout.
resource "google_cloud_run_v2_service_iam_member" "deployer_asks" {
  name     = google_cloud_run_v2_service.function.name
  location = var.region
  role     = "roles/run.invoker"
  member   = google_service_account.deployer.member
}

resource "google_cloud_run_v2_service_iam_member" "training_reads" {
  name     = google_cloud_run_v2_service.function.name
  location = var.region
  role     = google_project_iam_custom_role.plan.name
  member   = google_service_account.training.member
}

resource "google_cloud_run_v2_service_iam_member" "deployer_changes" {
  name     = google_cloud_run_v2_service.function.name
  location = var.region
  role     = google_project_iam_custom_role.deploy.name
  member   = google_service_account.deployer.member
}
