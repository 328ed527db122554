"""Names from outside as names of files: safe on every system, distinct, and readable where they can be."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from hashlib import blake2b

UNLABELLED = "unlabelled"
"""The folder of faces without a label; a label of this name gets another."""

_PLAIN = re.compile(r"\w(?:[\w +-]*[\w+-])?")
_RESERVED = re.compile(r"con|prn|aux|nul|(?:com|lpt)[0-9¹²³]", re.IGNORECASE)  # Windows opens devices for these
_LONGEST = 100  # bytes


def safe_names(names: Iterable[str]) -> dict[str, str]:
    """Name a file or folder for each of `names`.

    A name stays as it is where it is letters, digits, blanks, `_`, `+` and `-`, not too long, no device of Windows, and
    no other name is equal to it but for case (some disks cannot tell these apart). Of others a digest makes the end.

    Args:
        names: Any strings; one that comes twice counts once.

    Returns:
        Name -> file name without separators and dots; distinct, also where case does not count.
    """
    distinct = sorted(set(names))
    alike = Counter(map(_folded, distinct))
    safe = {name: name for name in distinct if alike[_folded(name)] == 1 and _is_plain(name)}
    taken = set(map(_folded, safe))
    for name in distinct:
        if name in safe:
            continue
        size = 4
        while _folded(made := _digested(name, size)) in taken:
            size += 1
        safe[name] = made
        taken.add(_folded(made))
    return safe


def _is_plain(name: str) -> bool:
    return (
        _PLAIN.fullmatch(name) is not None
        and _RESERVED.fullmatch(name) is None
        and _folded(name) != UNLABELLED
        and unicodedata.is_normalized("NFC", name)
        and len(name.encode()) <= _LONGEST
    )


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name.casefold())


def _digested(name: str, size: int) -> str:
    """Write what can be read of a name, and a digest of all of it."""
    encoded = name.encode("utf-8", "surrogatepass")
    readable = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_")[:40]
    digest = blake2b(encoded, digest_size=size).hexdigest()
    return f"{readable}-{digest}" if readable else digest
