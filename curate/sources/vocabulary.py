"""What a source says of each picture or video: its path, its tables and the files beside it, in one vocabulary."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from align import UsageError

from ..config import Source
from .annotations import read_annotations
from .cleaning import clean, name_label, name_part
from .items import source_root
from .labels import Labels, Value, row_labels
from .reading import Reading, read_table
from .sidecars import Sidecars

_NOTHING = Labels()


class Vocabulary:
    """Knows what a source's keys say of a name, and shares one object between names of which the same is said."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._reading = Reading.of_source(source)
        self._shared: dict[tuple[Value | None, ...], Labels] = {}
        self._fixed: Labels | None = None
        if not (source.label_from or source.subject_from or source.split_from):
            self._fixed = self.of_path("")  # no path says anything of its own

    @property
    def reading(self) -> Reading:
        """How its tables are read."""
        return self._reading

    def label(self, found: str | None) -> str | None:
        """Turn a label into the vocabulary."""
        return None if found is None else name_label(found, self._reading)

    def part(self, found: str | None, where: str) -> str | None:
        """Turn a published split's name into train, val or test.

        Raises:
            UsageError: It is none.
        """
        try:
            return None if found is None else name_part(found, self._source.split_names)
        except ValueError as error:
            raise UsageError(f"{where}: {error}") from None

    def of_path(self, name: str) -> Labels:
        """Give what the path and the keys for the whole source say."""
        source = self._source
        if self._fixed is not None:
            return self._fixed
        label = first_group(source.label_from, name)
        return self.shared(
            label=self.label(source.label if label is None else label),
            subject=first_group(source.subject_from, name) or source.subject,
            published_split=self.part(first_group(source.split_from, name), name) or source.split,
        )

    def shared(self, **values: str | None) -> Labels:
        """Make labels of a whole picture; the same values give the same object."""
        key = tuple(values.values())
        if key not in self._shared:
            self._shared[key] = _NOTHING.with_defaults(**values)
        return self._shared[key]


def first_group(pattern: str | None, name: str) -> str | None:
    """Give the first group of a pattern where it is found in a name."""
    match = re.search(pattern, name) if pattern else None
    return match[1] if match else None


def describe(source: Source, root: Path, names: Sequence[str], own: Sequence[Labels] = ()) -> list[Labels | None]:
    """Give what is known of each picture or video of a source.

    What a table says of it (`own`) wins over annotations, these over sidecars, these over the path.

    Args:
        source: Its keys say what.
        root: What annotations are relative to.
        names: Paths relative to the source's root.
        own: What the table that lists the pictures says of each.

    Returns:
        Labels by name; None for one that a required sidecar says nothing of, which is left out.

    Raises:
        UsageError: Annotations or sidecars that do not fit.
    """
    words = Vocabulary(source)
    reading = words.reading.plain() if own else words.reading
    annotations: Mapping[str, Labels] = (
        read_annotations(root / source.annotations, names, reading) if source.annotations else {}
    )
    beside = Sidecars(source, source_root(source, root)).read(names)
    merged: dict[tuple[int, int], tuple[Labels, Labels, Labels]] = {}  # few rows of a million differ in what they say

    def over(known: Labels, more: Labels) -> Labels:
        if not known or not more:
            return known or more
        key = id(known), id(more)
        if key not in merged:
            merged[key] = known, more, known.over(more)
        return merged[key][2]

    made: list[Labels | None] = []
    for place, (name, said) in enumerate(zip(names, beside, strict=True)):
        if said is None:
            made.append(None)
            continue
        known = over(said, words.of_path(name))
        if annotations:
            known = over(annotations.get(name, _NOTHING), known)
        made.append(over(own[place], known) if own else known)
    return made


def read_rows(source: Source, root: Path, count: int, file: str) -> list[Labels]:
    """Read the labels_file of a source: a row for each of the `count` pictures in `file`.

    Raises:
        UsageError: It has another number of rows, or does not fit.
    """
    if source.labels_file is None:
        return []
    path = source_root(source, root) / source.labels_file
    reading = Reading.of_source(source)
    table = clean(read_table(path, reading), reading, path)
    if len(table) != count:
        raise UsageError(
            f"{path}: expected a row for each of the {count:,} pictures of {file}, in the same order "
            f"(found {len(table):,}); mend one of the two"
        )
    return row_labels(table)
