"""Arrays of a .npz file; one that is not compressed is mapped into memory: a picture costs no more than itself."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from align import UsageError, printable

_LOCAL_HEADER = 30
"""Bytes of a zip member's own header before its name; the lengths of name and extra field are its last four."""


def array_names(path: Path) -> list[str]:
    """List the arrays of a .npz file in their order.

    Raises:
        UsageError: It is no .npz file.
    """
    with _explained(path), zipfile.ZipFile(path) as archive:
        return [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]


def open_array(path: Path, name: str) -> NDArray[np.generic]:
    """Open one array of a .npz file.

    Raises:
        UsageError: It is damaged, or holds Python objects, which are never loaded.
    """
    with _explained(path), zipfile.ZipFile(path) as archive:
        member = archive.getinfo(f"{name}.npy")
        if member.compress_type != zipfile.ZIP_STORED:
            with archive.open(member) as compressed:
                array: NDArray[np.generic] = np.lib.format.read_array(compressed, allow_pickle=False)
            return array
        with path.open("rb") as file:
            file.seek(member.header_offset)
            header = file.read(_LOCAL_HEADER)
            file.seek(int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little"), 1)
            return _map_array(file, path)


def _map_array(file: BinaryIO, path: Path) -> NDArray[np.generic]:
    version = np.lib.format.read_magic(file)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, is_fortran, dtype = read_header(file)
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which are never loaded")
    if 0 in shape:
        return np.empty(shape, dtype)
    place = file.tell()
    if is_fortran:
        return np.memmap(path, dtype, "r", place, shape, order="F")
    return np.memmap(path, dtype, "r", place, shape)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    # zipfile raises NotImplementedError for a compression that it does not know, as in a damaged directory
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, NotImplementedError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise UsageError(f"{printable(path)}: expected a .npz file of arrays ({reason})") from None
