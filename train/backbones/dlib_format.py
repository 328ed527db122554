"""Reads the network files that dlib writes, as far as its face-recognition ResNet needs.

dlib stores an integer as a control byte (bit 7 the sign, bits 0 to 3 the number of bytes) and that many little-endian
bytes, a real as the integers mantissa and exponent (mantissa * 2 ** exponent), a flag as the character 0 or 1, a string
as its length and bytes, and a tensor as a version, four dimensions and raw little-endian float32. A network is the
loss, one version a nested layer, and then the layers from the input outwards, each followed by three flags and three
tensors of training state. Source of the layout: dlib's serialize.h, dnn/core.h and dnn/layers.h.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from align import ModelError

_TENSOR_VERSION = 2
_MAX_LAYER_VERSION = 2
_INPUT_VERSION = 3
_MAX_INT_BYTES = 8


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


class _Stream:
    """A cursor over the bytes of a file; every read past the end or against the layout is a `ModelError`."""

    def __init__(self, data: bytes, name: str) -> None:
        self.data = data
        self.name = name
        self.at = 0

    def wrong(self, expected: str, found: object) -> ModelError:
        """Make the error for what stands at the cursor."""
        return ModelError(
            f"{self.name}: expected {expected} at byte {self.at} (found {found}); "
            "the file is cut off or is not dlib's face-recognition ResNet"
        )

    def take(self, count: int) -> bytes:
        """Read `count` bytes."""
        if not 0 <= count <= len(self.data) - self.at:
            raise self.wrong(f"{count} more bytes", f"{len(self.data) - self.at}")
        self.at += count
        return self.data[self.at - count : self.at]

    def integer(self) -> int:
        """Read one integer."""
        control = self.take(1)[0]
        count = control & 0x0F
        if not 1 <= count <= _MAX_INT_BYTES:
            raise self.wrong("an integer", f"control byte {control}")
        magnitude = int.from_bytes(self.take(count), "little")
        return -magnitude if control & 0x80 else magnitude

    def integers(self, count: int) -> tuple[int, ...]:
        """Read `count` integers."""
        return tuple(self.integer() for _ in range(count))

    def real(self) -> float:
        """Read one real number."""
        mantissa, exponent = self.integers(2)
        return math.ldexp(mantissa, exponent)

    def string(self) -> str:
        """Read one string."""
        return self.take(self.integer()).decode("ascii", errors="replace")

    def tensor(self) -> NDArray[np.float32]:
        """Read one tensor, flat."""
        version = self.integer()
        if version != _TENSOR_VERSION:
            raise self.wrong(f"a tensor of version {_TENSOR_VERSION}", f"version {version}")
        size = math.prod(self.integers(4))
        return np.frombuffer(self.take(4 * size), dtype="<f4")


_NO_PARAMS: NDArray[np.float32] = np.empty(0, dtype=np.float32)
_ALIAS = 5  # a view into the parameters: version and four dimensions
_RATES = 4  # multipliers of learning rate and weight decay, for weights and for biases


def _convolution(stream: _Stream) -> tuple[tuple[int, ...], NDArray[np.float32]]:
    params = stream.tensor()
    numbers = stream.integers(7)
    stream.integers(2 * _ALIAS)
    for _ in range(_RATES):
        stream.real()
    return numbers, params


def _dense(stream: _Stream) -> tuple[tuple[int, ...], NDArray[np.float32]]:
    sizes = stream.integers(2)
    params = stream.tensor()
    stream.integers(2 * _ALIAS)
    has_no_bias = stream.integer()
    for _ in range(_RATES):
        stream.real()
    return (*sizes, has_no_bias), params


def _affine(stream: _Stream) -> tuple[tuple[int, ...], NDArray[np.float32]]:
    params = stream.tensor()
    stream.integers(2 * _ALIAS + 1)
    return (), params


def _pooling(stream: _Stream) -> tuple[tuple[int, ...], NDArray[np.float32]]:
    return stream.integers(6), _NO_PARAMS


def _plain(_stream: _Stream) -> tuple[tuple[int, ...], NDArray[np.float32]]:
    return (), _NO_PARAMS


_READERS: dict[str, Callable[[_Stream], tuple[tuple[int, ...], NDArray[np.float32]]]] = {
    "con_4": _convolution,
    "fc_2": _dense,
    "affine_": _affine,
    "max_pool_2": _pooling,
    "avg_pool_2": _pooling,
    "relu_": _plain,
    "add_prev_": _plain,
}


def _skip_to_input(stream: _Stream) -> None:
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


def _layer(stream: _Stream) -> Layer:
    kind = stream.string()
    if kind not in _READERS:
        raise stream.wrong(f"one of the layers {', '.join(_READERS)}", repr(kind))
    numbers, params = _READERS[kind](stream)
    flags = stream.take(3)
    if set(flags) - set(b"01"):
        raise stream.wrong("three flags", repr(flags))
    for _ in range(3):
        stream.tensor()
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
    stream = _Stream(data, name)
    _skip_to_input(stream)
    yield _layer(stream)
    stream.integer()  # the layer on top of the input keeps how many tensors a picture makes
    while stream.at < len(data):
        yield _layer(stream)
