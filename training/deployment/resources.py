"""Names of a service and its related resources, which infra/ creates by the same convention."""

from __future__ import annotations

import re
from dataclasses import dataclass

from training.errors import StepError

_FORM = r"projects/([^/]+)/locations/([^/]+)/services/([^/]+)"


@dataclass(frozen=True)
class ServiceName:
    """projects/PROJECT/locations/REGION/services/NAME."""

    project: str
    region: str
    name: str

    @classmethod
    def of(cls, text: str) -> ServiceName:
        """Parse the name of a service.

        Raises:
            StepError: The text has another form.
        """
        match = re.fullmatch(_FORM, text)
        if match is None:
            raise StepError(f"--service {text!r} is not projects/PROJECT/locations/REGION/services/NAME")
        return cls(*match.groups())

    def __str__(self) -> str:
        return f"{self.location}/services/{self.name}"

    @property
    def location(self) -> str:
        """Parent of builds and operations."""
        return f"projects/{self.project}/locations/{self.region}"

    @property
    def source_bucket(self) -> str:
        """Bucket of source archives for builds."""
        return f"run-sources-{self.project}-{self.region}"

    @property
    def image(self) -> str:
        """Address of the images, without a tag."""
        return f"{self.region}-docker.pkg.dev/{self.project}/cloud-run-source-deploy/{self.name}"

    @property
    def builder(self) -> str:
        """Service account of builds."""
        return f"projects/{self.project}/serviceAccounts/{self.name}-builder@{self.project}.iam.gserviceaccount.com"
