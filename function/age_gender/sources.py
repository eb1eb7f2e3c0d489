"""What the options of a command name: a server or a release on this machine, its settings, and annotated copies."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from age_gender.client import Client
from age_gender.identity import IdentityTokens

if TYPE_CHECKING:
    from age_gender.copies import Copies
    from age_gender.local import LocalPredictor
    from serving.settings import Settings

API_KEY = "AGE_GENDER_API_KEY"
"""Variable with the API key of a server."""


class UsageError(Exception):
    """The command line is wrong; the message says how to correct it."""


class UnusableError(Exception):
    """No prediction is possible here or now; the message says why and what to do."""


def server(options: argparse.Namespace) -> Client:
    """Return the client of the server that `--url` names.

    Raises:
        UsageError: an option does not fit a server, or a header is invalid.
        ServerError: the URL or the proxy's is invalid.
    """
    if options.heads or options.model:
        raise UsageError("--heads and --model work without --url only; a server has its own heads and model")
    token: str | IdentityTokens | None = options.identity_token
    if token == "":
        token = IdentityTokens(options.url)
    elif isinstance(token, str) and os.path.exists(token):  # noqa: PTH110 - Path.exists raises for a long name
        raise UsageError(f"--identity-token took the file {token} as its value; write it after the images")
    try:
        key = os.environ.get(API_KEY, "").strip()
        return Client(
            options.url,
            key,
            headers=dict(options.header),
            identity_token=token,
            probabilities=options.probabilities,
        )
    except ValueError as error:
        raise UsageError(str(error)) from error


def local(options: argparse.Namespace) -> LocalPredictor:
    """Load the release that the options or the environment name.

    Raises:
        UsageError: an option is for a server only, or a setting is invalid.
        UnusableError: a package is missing.
        ReleaseError: the release cannot be read or run.
    """
    if options.header or options.identity_token is not None:
        raise UsageError("--header and --identity-token are for a server; name it with --url")
    settings = settings_of(options.heads, options.model)
    with _with_hint():
        from age_gender.local import LocalPredictor

        return LocalPredictor(settings, probabilities=options.probabilities)


def annotated_copies(folder: Path, names: Sequence[str]) -> Copies:
    """Return the writer of copies for the images called `names`.

    Raises:
        UsageError: the folder cannot be used, a copy's name is taken, or a setting is invalid.
        UnusableError: a package is missing.
    """
    settings = settings_of()
    with _with_hint("annotated copies need", "or leave out --annotate"):
        from age_gender import copies
    try:
        return copies.Copies(folder, names, settings.limits)
    except copies.CopyError as error:
        raise UsageError(str(error)) from error


def settings_of(heads: str | None = None, model: str | None = None) -> Settings:
    """Return the settings of the environment, with these values of HEADS and MODEL_URI unless they are None.

    Raises:
        UsageError: a setting is invalid.
        UnusableError: a package is missing.
    """
    with _with_hint():
        from serving import settings
    named = {"HEADS": heads, "MODEL_URI": model}
    try:
        return settings.from_environment(
            {**os.environ, **{key: value for key, value in named.items() if value is not None}}
        )
    except settings.SettingsError as error:
        raise UsageError(str(error)) from error


@contextmanager
def _with_hint(
    user: str = "predictions on this machine need", instead: str = "or name a server with --url"
) -> Iterator[None]:
    """Explain a missing package of the function."""
    try:
        yield
    except ImportError as error:
        raise UnusableError(
            f"{user} the packages of the function, and {error.name} is missing: "
            f"pip install '.[local]' installs them; {instead}"
        ) from error
