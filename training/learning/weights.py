"""The weights that a release carries for later trainings to start from; the function never fetches them."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from training.config import NAMED_WEIGHTS
from training.errors import StepError
from training.registry import releases
from training.registry.signing import Trust

FILE = "weights.npz"

Arrays = dict[str, npt.NDArray[Any]]


def dump(model: keras.Model) -> bytes:
    """An .npz file of every layer's weights, under the layer's name and the weight's place in it.

    Kernels are halved to float16, which a fine-tuning does not feel; variances need float32's range.
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
    """Start each layer of `model` from the layer of the same name and shape in the release at `uri`, and say how many.

    Raises:
        StepError: there is no such release, it carries no weights, they are damaged, or no layer of them fits.
    """
    stored = _read(uri, trust)
    layers = [layer for layer in model.layers if layer.weights]
    taken = sum(_set(layer, stored) for layer in layers)
    if not taken:
        raise StepError(f"no layer of {uri} fits {model.name}; start from a release of the same architecture")
    print(f"{taken} of {len(layers)} layers start from {uri}")


def _set(layer: keras.Layer, stored: Arrays) -> bool:
    values = [stored.get(f"{layer.name}.{place}") for place in range(len(layer.weights))]
    if [getattr(value, "shape", None) for value in values] != [tuple(weight.shape) for weight in layer.weights]:
        return False
    layer.set_weights([value.astype(np.float32) for value in values if value is not None])
    return True


def _read(uri: str, trust: Trust | None) -> Arrays:
    try:
        found = releases.read(uri, trust)
    except StepError as error:
        raise StepError(f"no initial weights {uri!r}, and it is none of {', '.join(NAMED_WEIGHTS)}: {error}") from error
    entry = found.manifest.get("weights")
    data = found.files.get(entry["file"]) if entry else None
    if data is None:
        raise StepError(
            f"{uri} carries no weights to start from (the bundled release leaves them out); choose one from a registry"
        )
    try:
        with np.load(io.BytesIO(data)) as arrays:
            return dict(arrays)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise StepError(
            f"the weights of {uri} are no .npz file of arrays ({error}); publish the release again"
        ) from error
