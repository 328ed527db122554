"""Reads the numbers and texts of the files that dlib writes.

dlib stores an integer as a control byte (bit 7 the sign, bits 0 to 3 the number of bytes) and that many little-endian
bytes, a real as the integers mantissa and exponent (mantissa * 2 ** exponent), a string as its length and bytes. Source
of the layout: dlib's serialize.h and float_details.h.
"""

import math
from collections.abc import MutableSequence, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import ModelError

_MAX_INT_BYTES = 8
_MAX_EXPONENT = 960  # with a mantissa of 63 bits; dlib marks infinities by exponents from 32,000 on


class Stream:
    """A cursor over the bytes of a file; every read past the end or against the layout is a `ModelError`.

    Args:
        data: The whole file.
        name: The file's name, for errors.
        kind: What the file should be, for errors.
    """

    def __init__(self, data: bytes, name: str, kind: str) -> None:
        self.data = data
        self.name = name
        self.kind = kind
        self.at = 0

    def wrong(self, expected: str, found: object) -> ModelError:
        """Make the error for what stands at the cursor."""
        return ModelError(
            f"{self.name}: expected {expected} at byte {self.at} (found {found}); "
            f"the file is cut off or is not {self.kind}"
        )

    def take(self, count: int) -> bytes:
        """Read `count` bytes."""
        if not 0 <= count <= len(self.data) - self.at:
            raise self.wrong(f"{count} more bytes", f"{len(self.data) - self.at}")
        self.at += count
        return self.data[self.at - count : self.at]

    def integer(self) -> int:
        """Read one integer."""
        return self.integers(1)[0]

    def integers(self, count: int) -> tuple[int, ...]:
        """Read `count` integers."""
        numbers = [0] * count
        self._move(_decode(self.data, self.at, numbers))
        return tuple(numbers)

    def many(self, count: int) -> NDArray[np.int64]:
        """Read `count` integers by compiled code, some hundred million bytes a second."""
        if not 0 <= 2 * count <= len(self.data) - self.at:
            raise self.wrong(f"{count} integers", f"{len(self.data) - self.at} bytes")
        numbers = np.empty(count, np.int64)
        self._move(_compiled_decode()(np.frombuffer(self.data, np.uint8), self.at, numbers))
        return numbers

    def real(self) -> float:
        """Read one real number."""
        mantissa, exponent = self.integers(2)
        if exponent > _MAX_EXPONENT:
            raise self.wrong("a finite number", f"exponent {exponent}")
        return math.ldexp(mantissa, exponent)

    def reals(self, count: int) -> NDArray[np.float32]:
        """Read `count` real numbers by compiled code."""
        return self.as_reals(self.many(2 * count))

    def as_reals(self, integers: NDArray[np.int64]) -> NDArray[np.float32]:
        """Turn mantissas and exponents, int64 [..., 2 * N], into float32 [..., N]."""
        exponents = integers[..., 1::2].clip(-_MAX_EXPONENT, _MAX_EXPONENT).astype(np.int32)
        with np.errstate(over="ignore"):
            found = np.ldexp(integers[..., ::2].astype(np.float32), exponents)
        if not np.isfinite(found).all():
            raise self.wrong("before it numbers that float32 can hold", "larger ones, or none")
        return found

    def string(self) -> str:
        """Read one string."""
        return self.take(self.integer()).decode("ascii", errors="replace")

    def _move(self, to: int) -> None:
        """Go to where a decoder stopped; a negative place, less one, is where it met what is no integer."""
        if to >= 0:
            self.at = to
            return
        self.at = -1 - to
        raise self.wrong("an integer", f"{self.data[self.at : self.at + 1 + _MAX_INT_BYTES]!r}")


def _decode(data: Sequence[int], at: int, numbers: MutableSequence[int]) -> int:
    """Fill `numbers` from the bytes from `at` on; give the place after them, or -1 less the place of a wrong one.

    Plain Python for the few integers of a header; the same lines are compiled for millions.
    """
    for i in range(len(numbers)):
        count = data[at] & 0x0F if at < len(data) else 0
        if not 1 <= count <= _MAX_INT_BYTES or at + count >= len(data):
            return -1 - at
        magnitude = 0
        for k in range(count):
            magnitude |= data[at + 1 + k] << (8 * k)
        numbers[i] = -magnitude if data[at] & 0x80 else magnitude
        at += 1 + count
    return at


@cache
def _compiled_decode() -> Any:
    from .compilation import compiled  # numba takes a third of a second to import

    return compiled(_decode)
