"""Reads a pickled dictionary of numpy arrays without running what a pickle could run.

Of all that a pickle may name, only the three parts of an array are known here, and the one that makes an array makes an
empty one whatever it is told: its bytes then come as plain data, whose length numpy checks against the shape.
"""

import pickle
import re
from io import BytesIO
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray


def _empty(*_: Any) -> NDArray[Any]:
    """Stand for numpy's own maker of arrays."""
    return np.ndarray((0,), np.uint8)


def _dtype(code: str, *_: Any) -> np.dtype[Any]:
    """Stand for numpy's own maker of types; only plain numbers are made."""
    if not isinstance(code, str) or not re.fullmatch(r"[fiu][1248]", code):
        raise pickle.UnpicklingError(f"numpy.dtype of {code!r}")
    return np.dtype(code, copy=True)


def _bytes(text: str, encoding: str = "latin1") -> bytes:
    """Stand for the encoder by which Python 3 writes bytes into old pickles."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"an encoding {encoding!r}")
    return text.encode("latin1")


def _dict(*_: Any) -> dict[Any, Any]:
    return {}


class _Reader(pickle.Unpickler):
    """An unpickler that knows arrays and nothing else."""

    _KNOWN: ClassVar[dict[tuple[str, str], Any]] = {
        ("numpy", "ndarray"): "numpy.ndarray",  # only a mark beside `_reconstruct`: a text cannot be called
        ("numpy", "dtype"): _dtype,
        ("numpy.core.multiarray", "_reconstruct"): _empty,
        ("numpy._core.multiarray", "_reconstruct"): _empty,
        ("_codecs", "encode"): _bytes,
        ("collections", "OrderedDict"): _dict,
    }

    def find_class(self, module_name: str, global_name: str) -> Any:
        """Give what is known; everything else is refused before it is imported."""
        found = self._KNOWN.get((module_name, global_name))
        if found is None:
            raise pickle.UnpicklingError(f"{module_name}.{global_name}")
        return found


def read(data: bytes) -> dict[str, NDArray[Any]]:
    """Read the arrays of a pickle, also one of Python 2.

    Args:
        data: The whole file.

    Returns:
        Name -> array of numbers.

    Raises:
        pickle.UnpicklingError: It holds something else; the message names it.
    """
    found = _Reader(BytesIO(data), encoding="latin1").load()
    if not isinstance(found, dict):
        raise pickle.UnpicklingError(f"a {type(found).__name__}")
    for name, value in found.items():
        if not isinstance(name, str) or not isinstance(value, np.ndarray) or value.dtype.kind not in "fiu":
            raise pickle.UnpicklingError(f"{name!r} of {type(value).__name__}")
    return found
