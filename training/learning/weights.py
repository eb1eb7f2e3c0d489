"""Trainable weights in a release, from which later trainings start. The function never downloads them."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from training.config import NAMED_WEIGHTS
from training.errors import StepError
from training.registry import releases
from training.registry.signing import Trust

if TYPE_CHECKING:
    import keras

FILE = "weights.npz"

Arrays = dict[str, npt.NDArray[Any]]


def dump(model: keras.Model) -> bytes:
    """Return an .npz file with the weights of every layer, under the layer's name and the weight's index.

    Kernels are stored as float16, which makes no difference to fine-tuning. Variances need the range of float32.
    """
    file = io.BytesIO()
    arrays = {
        f"{layer.name}.{place}": values.astype(np.float16 if values.ndim > 1 else np.float32)
        for layer in model.layers
        for place, values in enumerate(layer.get_weights())
    }
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def load(model: keras.Model, uri: str, trust: Trust | None = None) -> None:
    """Set each layer of `model` from the layer with the same name and shape in the release at `uri`.

    Prints how many layers were set.

    Raises:
        StepError: as `read`, or no layer fits.
    """
    stored = read(uri, trust)
    layers = [layer for layer in model.layers if layer.weights]
    count = sum(_set(layer, stored) for layer in layers)
    if not count:
        raise StepError(f"no layer of {uri} fits {model.name}; start from a release of the same architecture")
    print(f"{count} of {len(layers)} layers start from {uri}")


def _set(layer: keras.Layer, stored: Arrays) -> bool:
    values = [stored.get(f"{layer.name}.{place}") for place in range(len(layer.weights))]
    if [getattr(value, "shape", None) for value in values] != [tuple(weight.shape) for weight in layer.weights]:
        return False
    layer.set_weights([value.astype(np.float32) for value in values if value is not None])
    return True


def read(uri: str, trust: Trust | None = None) -> Arrays:
    """Return the weights of the release at `uri`, as `dump` wrote them.

    Raises:
        StepError: there is no such release, or its weights are missing or damaged.
    """
    try:
        found = releases.read(uri, trust)
    except StepError as error:
        raise StepError(f"no initial weights {uri!r}, and it is none of {', '.join(NAMED_WEIGHTS)}: {error}") from error
    entry = found.manifest.get("weights")
    data = found.files.get(entry["file"]) if entry else None
    if data is None:
        raise StepError(
            f"{uri} contains no trainable weights (the bundled release leaves them out); choose a release from a "
            "registry"
        )
    try:
        with np.load(io.BytesIO(data)) as arrays:
            return dict(arrays)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise StepError(
            f"the weights of {uri} are no .npz file of arrays ({error}); publish the release again"
        ) from error
