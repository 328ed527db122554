"""Compilation by numba, when a function is first called."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar, cast

import numba

_Function = TypeVar("_Function", bound=Callable[..., Any])


class _Kept:
    """What numba keeps on disk of one function; a damaged file counts as none, and a full disk keeps none.

    numba itself would raise what its reader of pickles says, or the disk's error, at each first call from then on.
    """

    def __init__(self, kept: Any) -> None:
        self._kept = kept
        self.cache_path = kept.cache_path

    def load_overload(self, signature: Any, context: Any) -> Any:
        """Read the function compiled for some types; None where it is to be compiled."""
        try:
            return self._kept.load_overload(signature, context)
        except Exception:  # noqa: BLE001  the reader of a cut-off pickle raises nearly anything
            self._forget()
            return None

    def save_overload(self, signature: Any, compiled: Any) -> None:
        """Keep it; where there is no room, the next process compiles it again."""
        with suppress(OSError):
            self._kept.save_overload(signature, compiled)

    def _forget(self) -> None:
        """Begin an empty index; where none can be written, keep nothing."""
        try:
            self._kept.flush()
        except OSError:
            self._kept.disable()


def compiled(function: _Function) -> _Function:
    """Compile a function by numba when it is first called; kept on disk where some cache folder can be written.

    It runs without Python's lock, so that threads may share the work.
    """
    dispatcher: Any = numba.njit(nogil=True)(function)
    with suppress(RuntimeError):  # numba found no folder to write to: a read-only install without a home
        dispatcher.enable_caching()
        dispatcher._cache = _Kept(dispatcher._cache)  # noqa: SLF001  numba has no other place to mend it
    return cast("_Function", dispatcher)
