"""Permissions that calls need, and the predefined roles that hold them.

Source: Google Cloud, "IAM roles and permissions index", and the page "IAM permissions" of each API. A role has here
only the permissions that matter for this project.
"""

from __future__ import annotations

# Predefined role -> permissions.
ROLES: dict[str, frozenset[str]] = {
    name: frozenset(permissions.split())
    for name, permissions in {
        "roles/artifactregistry.reader": "artifactregistry.repositories.downloadArtifacts",
        "roles/artifactregistry.writer": (
            "artifactregistry.repositories.downloadArtifacts artifactregistry.repositories.uploadArtifacts"
        ),
        "roles/iam.serviceAccountUser": "iam.serviceAccounts.actAs iam.serviceAccounts.get",
        "roles/iam.workloadIdentityUser": (
            "iam.serviceAccounts.get iam.serviceAccounts.getAccessToken iam.serviceAccounts.getOpenIdToken"
        ),
        "roles/logging.logWriter": "logging.logEntries.create",
        "roles/logging.viewer": "logging.logEntries.list logging.logs.list",
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
        "roles/secretmanager.secretAccessor": "secretmanager.versions.access",
        "roles/serviceusage.serviceUsageConsumer": "serviceusage.services.get serviceusage.services.use",
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
