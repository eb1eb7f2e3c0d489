"""Faces and tables of labels under gs://, through Apache Beam's file systems."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path, PurePosixPath

from age_gender import storage
from serving import addresses
from serving.text import printable
from training.data import label_tables, readers, source_tables
from training.data.label_tables import TableFile
from training.data.readers import SourceFile
from training.errors import StepError


class BeamSource:
    """The files of a local folder, or of a gs:// folder or pattern."""

    def __init__(self, address: str) -> None:
        """List the files under gs://.

        Raises:
            StepError: there are none, or the local folder is none.
        """
        self.address = address
        self._objects: list[tuple[str, int]] = []
        if in_cloud(address):
            self._folder, self._objects = storage.below(address)
            if not self._objects:
                raise StepError(f"{address}: no file there; give a gs:// folder or pattern of faces")
        elif not Path(address).is_dir():
            raise StepError(f"{address} is no folder; give a folder or a gs:// address (`prepare` reads archives)")

    @property
    def origin(self) -> dict[str, str]:
        """Return the name of the folder, for the manifest."""
        if self._objects:
            return {"name": printable(PurePosixPath(self._folder).name)}
        return readers.origin(Path(self.address))

    def files(self) -> Iterator[SourceFile]:
        """Yield every file, to be read with `load`."""
        if not self._objects:
            # The workers may have another working directory.
            yield from readers.find(Path(self.address).absolute())
        for path, size in self._objects:
            name = path.removeprefix(self._folder)
            if size > readers.MAX_FILE_BYTES:
                yield SourceFile(name, refusal=readers.too_large(size))
            else:
                yield SourceFile(name, place=path)

    def tables(self, named: Sequence[str]) -> list[TableFile]:
        """Return the tables that the user names, or without a name those among the faces.

        Raises:
            StepError: a table does not exist.
        """
        if named:
            return [self._given(address) for address in named]
        if not self._objects:
            return source_tables.find(Path(self.address))
        paths = (path for path, _ in self._objects)
        return [self._inside(path) for path in paths if PurePosixPath(path).name in source_tables.NAMES]

    def _given(self, address: str) -> TableFile:
        if not in_cloud(address):
            path = Path(address)
            return label_tables.local(path) if self._objects else source_tables.given(path, Path(self.address))
        if self._objects and address.startswith(self._folder):
            return self._inside(address)
        return TableFile(printable(PurePosixPath(address).name), _opener(address))

    def _inside(self, address: str) -> TableFile:
        path = address.removeprefix(self._folder)
        own_folder = PurePosixPath(path).name in source_tables.NAMES
        return source_tables.table(path, _opener(address), own_folder)


def in_cloud(address: str) -> bool:
    """Return whether an address is under gs://."""
    return address.startswith(addresses.CLOUD)


def load(file: SourceFile) -> SourceFile:
    """Return a file with its contents, or with the reason why they cannot be read."""
    if not in_cloud(file.place):
        return readers.load(file)
    try:
        return SourceFile(file.path, storage.read(file.place))
    except FileNotFoundError as error:
        return SourceFile(file.path, refusal=f"unreadable: {error.strerror}")


def _opener(address: str) -> label_tables.Opener:
    try:
        return partial(io.BytesIO, storage.read(address))
    except FileNotFoundError as error:
        raise StepError(f"{address} does not exist or cannot be read; give a table of labels") from error
