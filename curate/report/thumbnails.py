"""Small inlined pictures of a set's crops, and an account of the crops that are missing or cannot be read."""

import base64
import io
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from PIL import Image

_QUALITIES = ((112, 72), (112, 45), (80, 35))  # side in px and WebP quality, until the picture is light enough
_LIGHT = 3600  # bytes


class Crops:
    """The crop files of a set: small pictures of them, and those that are missing or cannot be read."""

    def __init__(self, out: Path) -> None:
        self.out = out.resolve()
        self.unreadable: dict[str, str] = {}
        self.thumbnail = lru_cache(maxsize=None)(self._thumbnail)

    def missing(self, names: Iterable[str]) -> list[str]:
        """List those of `names` that are no file below the set's folder, reading each folder once."""
        folders: dict[str, set[str]] = {}
        lost = []
        for name in names:
            base = name.rpartition("/")[2]
            folder = name[: len(name) - len(base)]
            if folder not in folders:
                path = self._inside(folder)
                folders[folder] = {entry.name for entry in path.iterdir()} if path and path.is_dir() else set()
            if base not in folders[folder]:
                lost.append(name)
        return lost

    def _inside(self, name: str) -> Path | None:
        """Join `name` to the set's folder; None where it points out of it."""
        if "\0" in name or ".." in Path(name).parts or Path(name).is_absolute():
            return None
        return self.out / name

    def _thumbnail(self, name: str) -> str | None:
        """Read a crop and give it as a small `data:` URI; None, and an entry in `unreadable`, where that fails."""
        path = self._inside(name)
        try:
            if path is None or not path.resolve().is_relative_to(self.out):
                raise ValueError("points out of the set's folder")  # noqa: TRY301 - one way out for all that fails
            with Image.open(path) as opened:
                picture = opened.convert("RGB")
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            self.unreadable[name] = type(error).__name__
            return None
        return "data:image/webp;base64," + base64.b64encode(shrink(picture)).decode()


def shrink(picture: Image.Image) -> bytes:
    """Encode a picture as a WebP of at most 112 px a side, smaller or coarser where it would be heavy."""
    encoded = b""
    for side, quality in _QUALITIES:
        small = picture.copy()
        small.thumbnail((side, side), Image.Resampling.LANCZOS)
        target = io.BytesIO()
        small.save(target, "WEBP", quality=quality, method=2)
        encoded = target.getvalue()
        if len(encoded) <= _LIGHT:
            break
    return encoded
