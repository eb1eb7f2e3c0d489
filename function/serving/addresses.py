"""Addresses of registries, releases, datasets and logs: a folder, or gs://bucket/path."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

CLOUD = "gs://"
ALLOWED = "a folder or gs://bucket/path"

# Texts, not compiled patterns: a start compiles only those that it uses.
_BUCKET = r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]"
# A word and a colon: the scheme of another kind of address, or a misspelt one.
_SCHEME = r"[A-Za-z][A-Za-z0-9+.-]*:"
_CONTROL = r"[\x00-\x1f\x7f-\x9f]"
_EMULATOR = r"(https?)://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::(\d{1,5}))?/?"
_LAST_PORT = 65535


class AddressError(ValueError):
    """The text is no address. The message says what was found and what is allowed."""


class Address(NamedTuple):
    """A folder, or a prefix in a bucket of Cloud Storage."""

    bucket: str
    """Name of the bucket, "" for a local folder."""
    path: str
    """Path of the folder, or the object's name or prefix without slashes at its ends."""

    def __str__(self) -> str:
        return f"{CLOUD}{self.bucket}/{self.path}".rstrip("/") if self.bucket else self.path


def parse(text: str) -> Address:
    """Return the address that `text` names.

    Raises:
        AddressError: it is neither a folder nor gs://bucket/path.
    """
    if not text.strip():
        raise AddressError(f"the address is empty; use {ALLOWED}")
    if re.search(_CONTROL, text) or text != text.strip():
        raise AddressError(f"{text!r} has spaces around it or a control character in it; use {ALLOWED}")
    if text.startswith(CLOUD):
        return _in_cloud(text)
    if text.startswith("~"):
        raise AddressError(f"{text!r} starts with ~, which no shell has replaced; write the whole path")
    if re.match(_SCHEME, text):
        hint = "" if ":/" in text else f" (./{text} is a folder with a colon in its name)"
        raise AddressError(f"{text!r} is no address; use {ALLOWED}{hint}")
    return Address("", text.rstrip("/") or "/")


def emulator(environment: Mapping[str, str]) -> str:
    """Return the URL in STORAGE_EMULATOR_HOST, or "" where it is unset or empty. A missing scheme means http.

    Raises:
        AddressError: it is no URL of a server.
    """
    text = environment.get("STORAGE_EMULATOR_HOST", "").strip()
    if not text:
        return ""
    url = text if "://" in text else f"http://{text}"
    found = re.fullmatch(_EMULATOR, url)
    named = found is not None and ("://" in text or found[3] is not None)
    if found is None or not named or not 0 < int(found[3] or 1) <= _LAST_PORT:
        raise AddressError(f"STORAGE_EMULATOR_HOST is {text!r}; use a URL such as http://localhost:9023, or unset it")
    return url.rstrip("/")


def _in_cloud(text: str) -> Address:
    bucket, _, path = text.removeprefix(CLOUD).partition("/")
    if not re.fullmatch(_BUCKET, bucket):
        raise AddressError(f"{text!r} names no bucket; use gs://bucket/path")
    path = path.rstrip("/")
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise AddressError(f"{text!r} is not UTF-8; use gs://bucket/path") from error
    if any(part in ("", ".", "..") for part in path.split("/")) and path:
        raise AddressError(f"{text!r} has an empty part, '.' or '..' in its path; use gs://bucket/path")
    return Address(bucket, path)
