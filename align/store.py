"""The store of model files: fetch one whole and checked or not at all, list what is here, verify it."""

import bz2
import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from .download import Order, Progress, discard, download
from .errors import ModelError
from .files import write_atomic
from .http_get import Patience
from .lock import held
from .models import (
    MODELS,
    STORE_VARIABLE,
    UNVERIFIED,
    Found,
    ModelFile,
    cache_folder,
    check_file,
    list_places,
    pin_path,
    read_pin,
    tell_impostor,
)

CAP = 1 << 30
"""Bytes at which a download stops where the size of the file is not known."""

WRONG = "wrong"

PATIENCE = Patience()

_MAGIC = {".pth": (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04"), ".npy": (b"\x93NUMPY",)}
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Checked:
    """Tell what a check of one file found.

    Attributes:
        name: A key of `MODELS`.
        place: Where the file is, as in `models.Found`; None where it is in no place.
        path: Its path there.
        state: verified, pinned at first fetch, unverified, or wrong.
        error: What is wrong, one sentence.
    """

    name: str
    place: str | None = None
    path: Path | None = None
    state: str | None = None
    error: str | None = None


def fetch(
    name: str,
    folder: Path | None = None,
    patience: Patience = PATIENCE,
    progress: Progress = lambda _here, _total: None,
) -> Checked:
    """Get a model file, from the network or from where it already is, and check it.

    Without `folder`, a file that any place already holds is left there; a missing one goes to the folder that
    `EYELINE_MODELS` names, else to the user's cache. With `folder` the file ends there; one that is here already is
    copied rather than downloaded. A wrong file is replaced in the cache only: in a folder of the user it is refused.

    Args:
        name: A key of `MODELS`.
        folder: Where to; it is created.
        patience: How long and how often to try.
        progress: Told of bytes here and bytes in all.

    Returns:
        Where the file is and how it was checked.

    Raises:
        ModelError: It cannot be had, or what came is not the file; nothing then stands under its name.
    """
    card = MODELS[name]
    target = _target(card, folder)
    try:
        target.path.parent.mkdir(parents=True, exist_ok=True)
        with held(target.path.with_name(f".{name}.lock")):
            if here := _already_here(card, target, folder):
                return here
            if folder is not None and (source := _elsewhere(card)):
                _copy(card, source, target.path)
            else:
                _download(card, target.path, patience, progress)
            return Checked(name, target.place, target.path, check_file(target.path, card))
    except OSError as error:
        raise ModelError(
            f"{error.filename or target.path}: expected a folder that can be written and has room for {name} "
            f"({error.strerror or error}); make room, or choose another folder with --to"
        ) from None


def check_models(names: list[str], folder: Path | None = None) -> Iterator[Checked]:
    """Check every copy of the named files in every place, in the order in which they would be found.

    Args:
        names: Keys of `MODELS`.
        folder: A folder to look into before the other places.

    Yields:
        One result a copy; one without a place where there is no copy at all.
    """
    for name in names:
        card = MODELS[name]
        copies = [found for found in list_places(card, folder) if found.path.is_file()]
        yield from (_check(card, found) for found in copies)
        if not copies:
            yield Checked(name)


def _check(card: ModelFile, found: Found) -> Checked:
    try:
        return Checked(card.name, found.place, found.path, check_file(found.path, card))
    except ModelError as error:
        return Checked(card.name, found.place, found.path, WRONG, str(error))


def _target(card: ModelFile, folder: Path | None) -> Found:
    if folder is not None:
        return Found("explicit", folder / card.name)
    if store := os.environ.get(STORE_VARIABLE):
        return Found(STORE_VARIABLE, Path(store) / card.name)
    return Found("cache", cache_folder() / card.name)


def _already_here(card: ModelFile, target: Found, folder: Path | None) -> Checked | None:
    """Give the copy that makes a fetch needless; a wrong one in the cache is removed, elsewhere it is refused."""
    places = [target] if folder is not None else list_places(card)
    for found in places:
        if not found.path.is_file():
            continue
        try:
            return Checked(card.name, found.place, found.path, check_file(found.path, card))
        except ModelError:
            if found.place != "cache":
                raise
            found.path.unlink()  # the cache is ours: what is wrong in it is not kept
    return None


def _elsewhere(card: ModelFile) -> Path | None:
    """Find a checked copy in the usual places."""
    for found in list_places(card):
        if found.path.is_file() and _check(card, found).state not in (WRONG, UNVERIFIED):
            return found.path
    return None


def _copy(card: ModelFile, source: Path, target: Path) -> None:
    with _making(target) as new:
        shutil.copyfile(source, new)
        _settle(card, new, target)


def _download(card: ModelFile, target: Path, patience: Patience, progress: Progress) -> None:
    """Download, check and name a file; a wrong one that was put together from two attempts gets one more chance."""
    order = _make_order(card, target.with_name(f"{target.name}.part"))
    for last in (False, True):
        resumed = download(order, patience, progress)
        try:
            if _is_packed(card):
                with _making(target) as new:
                    _unpack(card, order.part, new)
                    _settle(card, new, target)
            else:
                _settle(card, order.part, target)
        except ModelError:
            discard(order.part)
            if last or not resumed:
                raise
        else:
            discard(order.part)
            return


def _make_order(card: ModelFile, part: Path) -> Order:
    if not _is_packed(card):
        return Order(card.url, part, card.size or CAP, card.size, must_declare=card.sha256 is None)
    size = card.size or CAP
    return Order(card.url, part, size + size // 64 + 4096)  # what bzip2 cannot shrink it makes about 1 % longer


def _is_packed(card: ModelFile) -> bool:
    return urlsplit(card.url).path.endswith(".bz2")


def _unpack(card: ModelFile, part: Path, new: Path) -> None:
    """Unpack a .bz2, and stop as soon as it holds more than the file may be long."""
    limit = card.size or CAP
    with bz2.open(part) as packed, new.open("wb") as file:
        while chunk := _read_packed(packed, card):
            if file.tell() + len(chunk) > limit:
                raise ModelError(
                    f"{card.url}: expected {limit:,} bytes when unpacked (found more); do not use the file"
                )
            file.write(chunk)


def _read_packed(packed: IO[bytes], card: ModelFile) -> bytes:
    try:
        return packed.read(_CHUNK)
    except EOFError as error:
        reason = f"one that ends early: {error}"
    except OSError as error:
        if error.errno is not None:  # of the disk, not of the stream
            raise
        reason = f"other data: {error}"
    raise ModelError(f"{card.url}: expected a whole .bz2 file (found {reason}); try again later, or get it by hand")


def _settle(card: ModelFile, new: Path, target: Path) -> None:
    """Check a whole new file, pin it where no sha256 is published, and give it its name.

    Raises:
        ModelError: It is not the file. It does not get the name.
    """
    with new.open("rb") as file:
        head = file.read(512)
        file.seek(0)
        found = hashlib.file_digest(file, "sha256").hexdigest()
        os.fsync(file.fileno())  # else the name may outlive the bytes when the power goes
    pinned = read_pin(target) if card.sha256 is None else None
    expected = card.sha256 or pinned
    if expected is not None and found != expected:
        why = f", that of the first fetch, in {pin_path(target)}" if pinned else ""
        raise ModelError(
            f"{card.url}: expected sha256 {expected}{why} (found {found} and {new.stat().st_size:,} bytes"
            f"{tell_impostor(head)}); nothing was kept: check the network, or get the file by hand"
        )
    if expected is None:
        _require_magic(card, head)
        write_atomic(pin_path(target), f"{found}  {target.name}\n")  # first: a fetched file is never without its pin
    new.replace(target)


def _require_magic(card: ModelFile, head: bytes) -> None:
    """Refuse a file whose first bytes are not those of its kind, where nothing better is known of it."""
    if not head.startswith(_MAGIC[Path(card.name).suffix]):
        raise ModelError(
            f"{card.url}: expected a {Path(card.name).suffix} file (found one that begins with {head[:16]!r}); "
            f"get the file by hand"
        )


@contextlib.contextmanager
def _making(target: Path) -> Iterator[Path]:
    """Yield the path of a file that is made under another name first, and is gone if it is not renamed."""
    new = target.with_name(f"{target.name}.new")
    try:
        yield new
    finally:
        new.unlink(missing_ok=True)
