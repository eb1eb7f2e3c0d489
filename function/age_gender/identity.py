"""Identity tokens for a private Cloud Run service.

Cloud Run checks the token in `Authorization` before a request reaches the function: it must be a Google-signed identity
token of a member with roles/run.invoker.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import re
import subprocess
import threading
import time
from collections.abc import Callable
from urllib.parse import quote

from age_gender.transport import ServerError

# Three parts in base64url (RFC 7515, section 3.1).
_TOKEN = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)
# Seconds. Google's tokens live for an hour; one is renewed this long before its end.
_MARGIN = 120
# Seconds that a token without a readable end is used.
_UNKNOWN_LIFE = 300
# Seconds. The metadata server is one hop away where there is one; gcloud starts slowly.
_METADATA_TIMEOUT, _GCLOUD_TIMEOUT = 2.0, 30.0


class _NoTokenError(Exception):
    """This source has no token; the message says why."""


class IdentityTokens:
    """The token of the machine's Google identity for one service, renewed before it expires. Safe for threads.

    The first of these sources that has one gives it: Application Default Credentials by google-auth if that is
    installed, the metadata server of Google Cloud, `gcloud auth print-identity-token`.
    """

    def __init__(self, url: str) -> None:
        """Prepare without a request.

        Args:
            url: URL of the service; a path in it does not count.
        """
        self._audience = "/".join(url.split("/", 3)[:3])
        self._lock = threading.Lock()
        self._token, self._until = "", 0.0

    def __call__(self) -> str:
        """Return a valid token.

        Raises:
            ServerError: no source has a token; the message lists why.
        """
        with self._lock:
            if time.time() >= self._until:
                self._token = self._fetch()
                self._until = _expiry(self._token) - _MARGIN
            return self._token

    def _fetch(self) -> str:
        reasons = []
        sources: tuple[Callable[[str], str], ...] = (_from_credentials, _from_metadata, _from_gcloud)
        for source in sources:
            try:
                token = source(self._audience)
                if _TOKEN.fullmatch(token):
                    return token
                reasons.append(f"{source.__name__.removeprefix('_from_')} returned something else than a token")
            except _NoTokenError as reason:
                reasons.append(str(reason))
        raise ServerError(
            f"no identity token for {self._audience}: {'; '.join(reasons)}. "
            "Sign in with `gcloud auth login`, or give a token to --identity-token"
        )


def _from_credentials(audience: str) -> str:
    try:
        from google.auth.exceptions import GoogleAuthError
        from google.auth.transport.requests import Request
        from google.oauth2.id_token import fetch_id_token
    except ImportError as error:
        raise _NoTokenError("google-auth with requests is not installed") from error
    if not os.environ.get("GOOGLE_APPLICATION_CREDENTIALS"):
        # Without a file it would ask the metadata server, as the next source does in less time.
        raise _NoTokenError("GOOGLE_APPLICATION_CREDENTIALS is not set")
    try:
        return str(fetch_id_token(Request(), audience))
    except (GoogleAuthError, OSError, ValueError) as error:
        raise _NoTokenError(f"GOOGLE_APPLICATION_CREDENTIALS: {_first_line(str(error))}") from error


def _from_metadata(audience: str) -> str:
    host = os.environ.get("GCE_METADATA_HOST", "metadata.google.internal")
    path = f"/computeMetadata/v1/instance/service-accounts/default/identity?audience={quote(audience, safe='')}"
    connection = http.client.HTTPConnection(host, timeout=_METADATA_TIMEOUT)
    try:
        connection.request("GET", path, headers={"Metadata-Flavor": "Google"})
        response = connection.getresponse()
        token = response.read().decode(errors="replace").strip()
    except (OSError, http.client.HTTPException) as error:
        raise _NoTokenError("there is no metadata server") from error
    finally:
        connection.close()
    if response.status != http.client.OK:
        raise _NoTokenError(f"the metadata server returned {response.status}")
    return token


def _from_gcloud(_: str) -> str:
    try:
        # A person's token has gcloud's own audience, which Cloud Run accepts.
        done = subprocess.run(
            ["gcloud", "auth", "print-identity-token"],  # noqa: S607 - as the person would run it
            capture_output=True,
            stdin=subprocess.DEVNULL,
            check=False,
            timeout=_GCLOUD_TIMEOUT,
        )
    except FileNotFoundError as error:
        raise _NoTokenError("gcloud is not installed") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _NoTokenError("gcloud does not run") from error
    if done.returncode:
        raise _NoTokenError(f"gcloud: {_first_line(done.stderr.decode(errors='replace'))}")
    return done.stdout.decode(errors="replace").strip()


def _expiry(token: str) -> float:
    """Return the end of a token in seconds since 1970 (RFC 7519, section 4.1.4)."""
    try:
        payload = token.split(".")[1]
        return float(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["exp"])
    except (ValueError, IndexError, KeyError, TypeError, RecursionError):
        return time.time() + _UNKNOWN_LIFE + _MARGIN


def _first_line(text: str) -> str:
    return (text.strip().splitlines() or ["it failed without a message"])[0]
