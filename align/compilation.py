"""Compilation by numba, when a function is first called."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

_Function = TypeVar("_Function", bound=Callable[..., Any])


def compiled(function: _Function) -> _Function:
    """Compile a function by numba when it is first called; kept on disk where some cache folder can be written.

    It runs without Python's lock, so that threads may share the work.
    """
    try:
        return cast("_Function", numba.njit(cache=True, nogil=True)(function))
    except RuntimeError:  # numba found no folder to write to: a read-only install without a home
        return cast("_Function", numba.njit(nogil=True)(function))
