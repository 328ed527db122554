"""Reads the network files that dlib writes, as far as its face-recognition ResNet needs.

Beside its numbers and strings (`align.dlib_stream`) dlib stores a flag as the character 0 or 1, and a tensor as a
version, four dimensions and raw little-endian float32. A network is the loss, one version a nested layer, and then the
layers from the input outwards, each followed by three flags and three tensors of training state. Source of the layout:
dlib's dnn/core.h and dnn/layers.h.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..dlib_stream import Stream

_TENSOR_VERSION = 2
_MAX_LAYER_VERSION = 2
_INPUT_VERSION = 3


@dataclass(frozen=True)
class Layer:
    """One layer of a network file.

    Attributes:
        kind: dlib's name of the layer with its version, for example `con_4`.
        numbers: The layer's own integers: for convolutions and pooling filters, window, stride and padding.
        params: float32, flat: weights and then biases (gain and then shift for `affine_`); empty where it has none.
    """

    kind: str
    numbers: tuple[int, ...]
    params: NDArray[np.float32]


def _tensor(stream: Stream) -> NDArray[np.float32]:
    """Read one tensor, flat."""
    version = stream.integer()
    if version != _TENSOR_VERSION:
        raise stream.wrong(f"a tensor of version {_TENSOR_VERSION}", f"version {version}")
    size = math.prod(stream.integers(4))
    return np.frombuffer(stream.take(4 * size), dtype="<f4")


_NO_PARAMS: NDArray[np.float32] = np.empty(0, dtype=np.float32)
_ALIAS = 5  # a view into the parameters: version and four dimensions
_RATES = 4  # multipliers of learning rate and weight decay, for weights and for biases


def _convolution(stream: Stream) -> tuple[tuple[int, ...], NDArray[np.float32]]:
    params = _tensor(stream)
    numbers = stream.integers(7)
    stream.integers(2 * _ALIAS)
    for _ in range(_RATES):
        stream.real()
    return numbers, params


def _dense(stream: Stream) -> tuple[tuple[int, ...], NDArray[np.float32]]:
    sizes = stream.integers(2)
    params = _tensor(stream)
    stream.integers(2 * _ALIAS)
    has_no_bias = stream.integer()
    for _ in range(_RATES):
        stream.real()
    return (*sizes, has_no_bias), params


def _affine(stream: Stream) -> tuple[tuple[int, ...], NDArray[np.float32]]:
    params = _tensor(stream)
    stream.integers(2 * _ALIAS + 1)
    return (), params


def _pooling(stream: Stream) -> tuple[tuple[int, ...], NDArray[np.float32]]:
    return stream.integers(6), _NO_PARAMS


def _plain(_stream: Stream) -> tuple[tuple[int, ...], NDArray[np.float32]]:
    return (), _NO_PARAMS


_READERS: dict[str, Callable[[Stream], tuple[tuple[int, ...], NDArray[np.float32]]]] = {
    "con_4": _convolution,
    "fc_2": _dense,
    "affine_": _affine,
    "max_pool_2": _pooling,
    "avg_pool_2": _pooling,
    "relu_": _plain,
    "add_prev_": _plain,
}


def _skip_to_input(stream: Stream) -> None:
    """Read the loss, the versions of the nested layers and the input layer."""
    loss_version, loss = stream.integer(), stream.string()
    if (loss_version, loss) != (1, "loss_metric_2"):
        raise stream.wrong("the layer loss_metric_2", repr(loss))
    stream.real(), stream.real()
    version = stream.integer()
    while 1 <= version <= _MAX_LAYER_VERSION:
        version = stream.integer()
    name = stream.string()
    if version != _INPUT_VERSION or not name.startswith("input_rgb_image_sized"):
        raise stream.wrong("the layer input_rgb_image_sized", repr(name))
    for _ in range(3):
        stream.real()
    stream.integers(2)


def _layer(stream: Stream) -> Layer:
    kind = stream.string()
    if kind not in _READERS:
        raise stream.wrong(f"one of the layers {', '.join(_READERS)}", repr(kind))
    numbers, params = _READERS[kind](stream)
    flags = stream.take(3)
    if set(flags) - set(b"01"):
        raise stream.wrong("three flags", repr(flags))
    for _ in range(3):
        _tensor(stream)
    return Layer(kind, numbers, params)


def read_layers(data: bytes, name: str) -> Iterator[Layer]:
    """Yield the layers of a network file from the input outwards.

    Args:
        data: The whole file.
        name: The file's name, for errors.

    Yields:
        Every layer after the input layer.

    Raises:
        ModelError: The bytes end early or do not follow the layout.
    """
    stream = Stream(data, name, "dlib's face-recognition ResNet")
    _skip_to_input(stream)
    yield _layer(stream)
    stream.integer()  # the layer on top of the input keeps how many tensors a picture makes
    while stream.at < len(data):
        yield _layer(stream)
