"""The command line's commands, one module a kind; each is a function of its options and what it takes."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Command:
    """One command: called as its function is, explained by its docstring."""

    # options -> exit code
    run: Callable[[argparse.Namespace], int]
    # adds what it takes
    arguments: Callable[[argparse.ArgumentParser], None]

    @property
    def name(self) -> str:
        """As it is typed."""
        return self.run.__name__.replace("_", "-")


def work(parser: argparse.ArgumentParser) -> None:
    """Where the steps from faces to a release leave their files."""
    parser.add_argument(
        "--work",
        type=Path,
        default=Path("build/pipeline"),
        help="folder of the steps' files (default: build/pipeline)",
    )


def registry(parser: argparse.ArgumentParser) -> None:
    """Where releases are."""
    parser.add_argument("--registry", required=True, help="folder or gs://bucket/path of the releases")
