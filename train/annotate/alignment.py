"""How the faces of photos and videos are found and cropped: as those that the model was trained on."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import msgspec

from align import EyelineError, UsageError
from curate import NO_DETECTOR, Align

from ..console import notice

REQUIRED = ("detector", "landmarks", "template", "size")
"""What must be known of the training faces; everything else has defaults that are right for most."""


def alignment_of(kept: Mapping[str, Any], given: Mapping[str, Any], path: Path) -> Align:
    """Tell how faces are found and cropped for a model.

    Args:
        kept: The `align` table of the set that the model was trained on, as its checkpoint keeps it.
        given: What the user asks for instead, by the same keys; None leaves a key as it was.
        path: The checkpoint.

    Raises:
        UsageError: The checkpoint does not say, and neither does the user; or a value is none that is known.
        EyelineError: The checkpoint holds settings that this version does not know.
    """
    asked = {key: value for key, value in given.items() if value is not None}
    both = {**kept, **asked}
    unknown = sorted(set(kept) - {field.name for field in fields(Align)})
    if unknown:
        raise EyelineError(
            f"{path}: expected the settings of alignment that this eyeline knows (found {', '.join(unknown)}, too); "
            "update eyeline"
        )
    missing = [] if both.get("detector") == NO_DETECTOR else [key for key in REQUIRED if key not in both]
    if missing:
        raise UsageError(
            f"{path} does not say how its training faces were aligned; give "
            f"{', '.join(f'--{key}' for key in missing)} as they were cropped (or --detector {NO_DETECTOR} where "
            "each picture is a face crop already)"
        )
    for key in sorted(asked):
        if key in (*REQUIRED, "border") and key in kept and asked[key] != kept[key]:
            notice(f"--{key} {asked[key]}: the model was trained on faces with {key} {kept[key]}")
    if asked.get("faces") == "all" and "search" not in asked and both.get("search", "one") == "one":
        both["search"] = "alike"  # a search that ends at the first face is right for the largest alone
    try:
        return msgspec.convert(both, Align)
    except msgspec.ValidationError as error:
        raise UsageError(f"{path}: alignment: {_flat(error)}") from None


def _flat(error: Exception) -> str:
    return " ".join(str(error).split())
