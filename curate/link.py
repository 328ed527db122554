"""What only all parts together show: changes of scene between parts of a video, tracks, what is redundant in them."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from .config import Dataset
from .ingest import UnitRecord
from .novelty import drop_redundant
from .scenes import THUMB_PX, is_cut
from .sources import Unit
from .tracks import assign_tracks


def link(rows: pd.DataFrame, dataset: Dataset, units: Iterable[tuple[Unit, UnitRecord]]) -> pd.DataFrame:
    """Write `scene_cut` where a part of a video begins, `track`, and the reason `redundant`.

    Args:
        rows: The rows of all parts.
        dataset: Its `tracking` and `sample`.
        units: The work units in order, with what became of them.
    """
    rows = rows.copy()
    for source_id, first_index in _cuts_between_parts(units):
        begins = rows["source_id"].eq(source_id) & rows["frame"].eq(first_index) & rows["pts"].notna()
        rows.loc[begins, "scene_cut"] = True
    rows["track"] = assign_tracks(rows, dataset.tracking)
    return drop_redundant(rows, dataset.sample)


def _cuts_between_parts(units: Iterable[tuple[Unit, UnitRecord]]) -> Iterable[tuple[str, int]]:
    """Yield source and first frame of each part that shows another scene than the one before it."""
    last: tuple[str, str] | None = None
    for unit, record in units:
        item = unit.items[0]
        if item.part is None or not record.edges:
            last = None
            continue
        first, end = record.edges
        if last is not None and last[0] == item.source_id and is_cut(_thumbnail(last[1]), _thumbnail(first)):
            yield item.source_id, item.part.first_index
        last = item.source_id, end


def _thumbnail(edge: str) -> np.ndarray:
    return np.frombuffer(bytes.fromhex(edge), np.uint8).reshape(THUMB_PX, THUMB_PX).astype(np.float32)
