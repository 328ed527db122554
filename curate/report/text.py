"""How the report writes names, counts, shares and values; its template escapes them afterwards."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

_TEXT = 120  # characters of a name or value
_DASH = "\u2013"
_JOINERS = "\u200c\u200d"  # invisible, yet part of how words and emoji are written


def plain(text: Any, most: int = _TEXT) -> str:
    """Show text on one line: what does not print as an escape, and a long middle as an ellipsis."""
    whole = str(text)
    if len(whole) > most:
        whole = f"{whole[: most // 2]}…{whole[-(most // 2) :]}"
    return "".join(c if c.isprintable() or c in _JOINERS else c.encode("unicode_escape").decode() for c in whole)


def count(number: Any) -> str:
    """Write a whole number with thousands separated; a dash for None."""
    return _DASH if number is None else f"{int(number):,}"


def many(number: int, one: str, several: str = "") -> str:
    """Write a count and what is counted, in the singular or the plural."""
    return f"{number:,} {one if number == 1 else several or f'{one}s'}"


def percent(share: Any) -> str:
    """Write a share in percent, without turning little into nothing."""
    if share is None:
        return _DASH
    if 0 < share < 0.001:  # one decimal would show 0.0 %
        return "<0.1 %"
    return f"{share:.1%}".replace("%", " %")


def seconds(spent: float) -> str:
    """Write a duration in the unit that suits it."""
    if spent < 100:
        return f"{spent:.2f} s" if spent < 10 else f"{spent:.1f} s"
    minutes, rest = divmod(round(spent), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def value(item: Any) -> str:
    """Write a value of the configuration the way JSON does."""
    if item is None:
        return "not set"
    if isinstance(item, Sequence) and not isinstance(item, str):
        return ", ".join(map(value, item)) or "none"
    if isinstance(item, Mapping) and not item:
        return "none"
    return item if isinstance(item, str) else json.dumps(item, ensure_ascii=False, default=str)


def flatten(tree: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Turn nested mappings, and lists of them, into sorted `a.b[0].c` keys and their values."""
    flat: list[tuple[str, Any]] = []
    for key, inner in sorted(tree.items()):
        tables = isinstance(inner, list | tuple) and inner and all(isinstance(one, Mapping) for one in inner)
        if isinstance(inner, Mapping) and inner:
            flat.extend(flatten(inner, f"{prefix}{key}."))
        elif tables:
            for place, one in enumerate(inner):
                flat.extend(flatten(one, f"{prefix}{key}[{place}]."))
        else:
            flat.append((f"{prefix}{key}", inner))
    return flat
