"""Permissions that calls need, and the predefined roles that hold them.

Source: Google Cloud, "IAM roles and permissions index", and the page "IAM permissions" of each API. A role has here
only the permissions that matter for this project.
"""

from __future__ import annotations

# Predefined role -> permissions.
ROLES: dict[str, frozenset[str]] = {
    name: frozenset(permissions.split())
    for name, permissions in {
        "roles/artifactregistry.admin": (
            "artifactregistry.repositories.downloadArtifacts artifactregistry.repositories.get "
            "artifactregistry.repositories.getIamPolicy artifactregistry.repositories.uploadArtifacts"
        ),
        "roles/artifactregistry.reader": "artifactregistry.repositories.downloadArtifacts",
        "roles/artifactregistry.writer": (
            "artifactregistry.repositories.downloadArtifacts artifactregistry.repositories.uploadArtifacts"
        ),
        "roles/browser": "resourcemanager.projects.get resourcemanager.projects.getIamPolicy",
        "roles/compute.viewer": (
            "compute.disks.get compute.instances.get compute.networks.get compute.subnetworks.get "
            "resourcemanager.projects.get"
        ),
        "roles/iam.roleViewer": "iam.roles.get resourcemanager.projects.get resourcemanager.projects.getIamPolicy",
        "roles/iam.serviceAccountUser": "iam.serviceAccounts.actAs iam.serviceAccounts.get",
        "roles/iam.serviceAccountViewer": "iam.serviceAccounts.get iam.serviceAccounts.getIamPolicy",
        "roles/iam.workloadIdentityPoolViewer": (
            "iam.googleapis.com/workloadIdentityPoolProviders.get iam.googleapis.com/workloadIdentityPools.get "
            "resourcemanager.projects.get"
        ),
        "roles/iam.workloadIdentityUser": (
            "iam.serviceAccounts.get iam.serviceAccounts.getAccessToken iam.serviceAccounts.getOpenIdToken"
        ),
        "roles/logging.logWriter": "logging.logEntries.create",
        "roles/logging.viewer": (
            "logging.logEntries.list logging.logMetrics.get logging.logs.list logging.sinks.get "
            "resourcemanager.projects.get"
        ),
        "roles/monitoring.viewer": (
            "monitoring.alertPolicies.get monitoring.dashboards.get monitoring.notificationChannels.get "
            "resourcemanager.projects.get"
        ),
        "roles/run.builder": (
            "artifactregistry.repositories.deleteArtifacts artifactregistry.repositories.downloadArtifacts "
            "artifactregistry.repositories.uploadArtifacts logging.logEntries.create storage.objects.get"
        ),
        "roles/run.invoker": "run.routes.invoke",
        "roles/run.sourceDeveloper": (
            "cloudbuild.builds.create cloudbuild.builds.get cloudbuild.builds.list run.locations.list "
            "run.operations.get run.revisions.get run.revisions.list run.routes.invoke run.services.create "
            "run.services.get run.services.list run.services.update storage.buckets.create storage.buckets.get "
            "storage.objects.create storage.objects.get storage.objects.list"
        ),
        "roles/run.viewer": "resourcemanager.projects.get run.revisions.get run.services.get run.services.getIamPolicy",
        "roles/secretmanager.secretAccessor": "secretmanager.versions.access",
        "roles/secretmanager.viewer": (
            "resourcemanager.projects.get secretmanager.secrets.get secretmanager.secrets.getIamPolicy"
        ),
        "roles/serviceusage.serviceUsageConsumer": (
            "serviceusage.services.get serviceusage.services.list serviceusage.services.use"
        ),
        "roles/storage.admin": (
            "storage.buckets.create storage.buckets.get storage.buckets.getIamPolicy storage.objects.create "
            "storage.objects.delete storage.objects.get storage.objects.list storage.objects.update"
        ),
        "roles/storage.objectCreator": "storage.objects.create",
        "roles/storage.objectUser": (
            "storage.objects.create storage.objects.delete storage.objects.get storage.objects.list "
            "storage.objects.update"
        ),
        "roles/storage.objectViewer": "storage.objects.get storage.objects.list",
    }.items()
}

# Call of the fake Google Cloud, by the name of its route -> permission.
CALLS = {
    "get_service": "run.services.get",
    "update_service": "run.services.update",
    "list_revisions": "run.revisions.list",
    "get_revision": "run.revisions.get",
    "get_operation": "run.operations.get",
    "submit_build": "cloudbuild.builds.create",
    "get_build": "cloudbuild.builds.get",
    "list_entries": "logging.logEntries.list",
    "write_entries": "logging.logEntries.create",
}

_IAM = "iam.googleapis.com/workloadIdentityPool"
# Resource of Terraform -> permissions of its refresh, as the provider's source calls Google. A budget is part of a
# billing account, where its permission has to be granted.
REFRESH: dict[str, frozenset[str]] = {
    f"google_{kind}": frozenset(permissions.split())
    for kind, permissions in {
        "artifact_registry_repository": "artifactregistry.repositories.get",
        "artifact_registry_repository_iam_member": "artifactregistry.repositories.getIamPolicy",
        "billing_budget": "billing.budgets.get",
        "cloud_run_v2_service": "run.services.get",
        "cloud_run_v2_service_iam_member": "run.services.getIamPolicy",
        # The disk of an instance is read on its own.
        "compute_instance": "compute.disks.get compute.instances.get",
        "compute_network": "compute.networks.get",
        "compute_subnetwork": "compute.subnetworks.get",
        "iam_workload_identity_pool": f"{_IAM}s.get",
        "iam_workload_identity_pool_provider": f"{_IAM}Providers.get",
        "logging_metric": "logging.logMetrics.get",
        "logging_project_sink": "logging.sinks.get",
        "monitoring_alert_policy": "monitoring.alertPolicies.get",
        "monitoring_dashboard": "monitoring.dashboards.get",
        "monitoring_notification_channel": "monitoring.notificationChannels.get",
        "project_iam_custom_role": "iam.roles.get",
        "project_iam_member": "resourcemanager.projects.getIamPolicy",
        "project_service": "resourcemanager.projects.get serviceusage.services.list",
        "secret_manager_secret": "secretmanager.secrets.get",
        "secret_manager_secret_iam_member": "secretmanager.secrets.getIamPolicy",
        "service_account": "iam.serviceAccounts.get",
        "service_account_iam_member": "iam.serviceAccounts.getIamPolicy",
        "storage_bucket": "storage.buckets.get",
        "storage_bucket_iam_member": "storage.buckets.getIamPolicy",
    }.items()
}
