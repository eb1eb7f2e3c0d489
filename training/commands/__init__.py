"""Commands of the command line, one module by subject."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

# Default registry of `make pipeline`.
REGISTRY = "build/registry"


@dataclass(frozen=True)
class Command:
    """A command with the name and the docstring of its function."""

    run: Callable[[argparse.Namespace], int]
    """Options -> exit code."""
    arguments: Callable[[argparse.ArgumentParser], None]
    """Adds the command's options to a parser."""

    @property
    def name(self) -> str:
        """Name on the command line."""
        return self.run.__name__.replace("_", "-")


def work(parser: argparse.ArgumentParser) -> None:
    """Add --work, the folder of the steps from faces to a release."""
    parser.add_argument(
        "--work",
        type=Path,
        default=Path("build/pipeline"),
        help="folder for the files of the steps (default: build/pipeline)",
    )


def registry(parser: argparse.ArgumentParser) -> None:
    """Add --registry, which is required."""
    parser.add_argument("--registry", required=True, help="folder or gs://bucket/path of the releases")


def listed_registry(parser: argparse.ArgumentParser) -> None:
    """Add --registry with the default of `make pipeline`, for commands that only read."""
    parser.add_argument(
        "--registry", default=REGISTRY, help=f"folder or gs://bucket/path of the releases (default: {REGISTRY})"
    )
