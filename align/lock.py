"""Locks between processes that go with the process which holds them."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PAUSE_S = 0.1


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the one lock of a folder; it is let go also when this process is killed.

    Raises:
        BlockingIOError: Another process holds it.
    """
    if sys.platform == "win32":
        yield  # Windows cannot lock a folder
        return
    import fcntl

    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


@contextmanager
def held(lock: Path) -> Iterator[None]:
    """Hold a lock file while the block runs; wait for it where another process or thread holds it.

    A killed process holds nothing, so that no lock stays behind. On Windows, which lets no file that is open be
    removed, nothing is locked.

    Args:
        lock: The file; it exists only while the lock is held.

    Raises:
        OSError: The folder cannot be written.
    """
    if sys.platform == "win32":
        yield
        return
    while (handle := _try(lock)) is None:
        time.sleep(_PAUSE_S)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
        os.close(handle)


def _try(lock: Path) -> int | None:
    """Lock the file and give its handle; None where another holds it, or has removed it in the meantime."""
    import fcntl

    handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        mine = os.path.samestat(os.fstat(handle), lock.stat())
    except (BlockingIOError, FileNotFoundError):
        mine = False
    except OSError:
        os.close(handle)
        raise
    if mine:
        return handle
    os.close(handle)
    return None
