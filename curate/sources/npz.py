"""Arrays of a .npz file; one that is not compressed is mapped into memory: a picture costs no more than itself."""

import lzma
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from align import UsageError, printable

_LOCAL_HEADER = 30
"""Bytes of a zip member's own header before its name; the lengths of name and extra field are its last four."""

_ENCRYPTED = 1
"""Of a member's flags."""

_FAULTS = (OSError, ValueError, EOFError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error, lzma.LZMAError)
"""What a damaged or foreign file raises; zipfile's word for what it cannot read is a RuntimeError."""


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
        UsageError: It is damaged, encrypted, or holds Python objects, which are never loaded.
    """
    with _explained(path), zipfile.ZipFile(path) as archive:
        member = archive.getinfo(f"{name}.npy")
        if member.flag_bits & _ENCRYPTED:
            raise ValueError("it is encrypted")
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
    except _FAULTS as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise UsageError(f"{printable(path)}: expected a .npz file of arrays ({reason})") from None
