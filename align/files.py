"""Files that appear whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` and rename it onto `path` when the block ends without an error.

    A reader, or a run that is killed, therefore sees the old file or the new one, never half of it.

    Args:
        path: The file to write. Its folder is created.

    Yields:
        The temporary path to write to, with the same suffix.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    short = blake2b(os.fsencode(path.name), digest_size=6).hexdigest()  # a name may be as long as the disk allows
    temporary = path.with_name(f".{short}.{os.getpid()}.tmp{path.suffix}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def printable(path: Path | str) -> str:
    r"""Write a path as text that can be printed and stored: bytes that are not UTF-8 become \\xNN."""
    return str(path).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def write_atomic(path: Path, data: bytes | str) -> None:
    """Write `data` to `path` so that it appears whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(data.encode() if isinstance(data, str) else data)
