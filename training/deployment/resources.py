"""A service's full name, and the names beside it that infra/ makes by the same convention."""

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
        """Read it.

        Raises:
            StepError: it has another form.
        """
        match = re.fullmatch(_FORM, text)
        if match is None:
            raise StepError(f"--service {text!r} is not projects/PROJECT/locations/REGION/services/NAME")
        return cls(*match.groups())

    def __str__(self) -> str:
        return f"{self.location}/services/{self.name}"

    @property
    def location(self) -> str:
        """What builds and operations are below."""
        return f"projects/{self.project}/locations/{self.region}"

    @property
    def source_bucket(self) -> str:
        """Where sources are uploaded to be built."""
        return f"run-sources-{self.project}-{self.region}"

    @property
    def image(self) -> str:
        """Where built images lie, without a tag."""
        return f"{self.region}-docker.pkg.dev/{self.project}/cloud-run-source-deploy/{self.name}"

    @property
    def builder(self) -> str:
        """Whom builds run as."""
        return f"projects/{self.project}/serviceAccounts/{self.name}-builder@{self.project}.iam.gserviceaccount.com"
