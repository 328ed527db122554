"""A folder that appears whole or not at all, and files that come into it by link or copy."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from align import EyelineError, UsageError, locked, printable

from .spec import Link


@contextmanager
def staged(dest: Path, out: Path) -> Iterator[Path]:
    """Yield a folder beside `dest` that becomes `dest` when the block ends without an error.

    What a killed export left there is removed first.

    Args:
        dest: The folder to write; new or empty.
        out: The set, which `dest` must not be a part of.

    Raises:
        UsageError: `dest` cannot be used, or another export is at work on it.
        EyelineError: Writing failed half-way; nothing is left behind.
    """
    final = _checked(dest, out)
    short = blake2b(os.fsencode(final.name), digest_size=6).hexdigest()
    staging = final.with_name(f".{short}.eyeline-export")
    try:
        staging.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"{printable(dest)}: expected a folder that can be written ({error.strerror}); choose another --dest"
        ) from None
    try:
        with locked(staging), _removed_on_failure(staging):
            try:
                _empty(staging)
                yield staging
                if final.is_dir():
                    final.rmdir()  # it is empty, or this fails
                staging.rename(final)
            except OSError as error:
                raise EyelineError(
                    f"{printable(dest)}: expected to write the export to its end ({_reason(error)}); nothing "
                    f"was left behind: make room or choose another --dest, then run the same command again"
                ) from None
    except BlockingIOError:
        raise UsageError(
            f"{printable(dest)}: expected a free folder (another export is at work on it); wait for it"
        ) from None


def _checked(dest: Path, out: Path) -> Path:
    """Resolve `dest` and refuse what cannot be replaced by a whole folder."""
    final, name = dest.resolve(), printable(dest)
    if final.is_relative_to(out.resolve()):
        raise UsageError(f"--dest {name}: expected a folder outside the set {printable(out)}; choose another")
    if final.exists() and not final.is_dir():
        raise UsageError(f"--dest {name}: expected a folder (found a file); choose another")
    try:
        first = min(final.iterdir(), default=None) if final.is_dir() else None
    except OSError as error:
        raise UsageError(f"--dest {name}: expected a folder that can be read ({error.strerror})") from None
    if first is not None:
        raise UsageError(
            f"--dest {name}: expected a new or empty folder (found {printable(first.name)!r} in it); choose another"
        )
    if final == Path.cwd() or os.path.ismount(final) or final == final.parent:
        raise UsageError(
            f"--dest {name}: expected a folder that can be put in place as a whole (found the working folder or a "
            f"disk's own); name a new folder inside it"
        )
    return final


def _reason(error: OSError) -> str:
    """Give the system's own words, without those of the library that met them."""
    return os.strerror(error.errno) if error.errno else str(error)


@contextmanager
def _removed_on_failure(folder: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


@dataclass
class Placer:
    """Brings files into a folder by link or copy, and counts which.

    Attributes:
        link: How; None = a hard link where the file system allows, else a copy.
        linked: How many were linked.
        copied: How many were copied.
    """

    link: Link | None
    linked: int = 0
    copied: int = 0

    def place(self, source: Path, target: Path) -> None:
        """Bring one file in.

        Raises:
            EyelineError: The file system does not allow the kind of link that was asked for, or the file is gone.
        """
        source = source.resolve()  # a hard link to a symbolic one would be one, too
        if not source.is_file():
            raise EyelineError(f"{printable(source)}: expected a crop's file; make it again: eyeline-curate run")
        if self.link != "copy":
            try:
                (target.symlink_to if self.link == "symlink" else target.hardlink_to)(source)
            except OSError as error:
                if self.link is not None:
                    raise EyelineError(
                        f"{printable(target.parent)}: expected a file system that allows --link {self.link} "
                        f"({error}); take --link copy"
                    ) from None
            else:
                self.linked += 1
                return
        shutil.copyfile(source, target)
        self.copied += 1
