"""What a system has done in its folder: which of its commands came to their end, and which one was begun last."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from align import EyelineError, UsageError, write_atomic

RECORD = "recipe.json"
"""Of the folder that a system writes."""

Entry = dict[str, Any]


@dataclass
class Record:
    """The commands of a system that are done in a folder, by their keys.

    Attributes:
        folder: The system's.
        recipe: The system's name.
        done: `seconds` and `failures` of each command that came to its end.
        begun: The command that was begun last.
    """

    folder: Path
    recipe: str
    done: dict[str, Entry] = field(default_factory=dict)
    begun: str | None = None

    @classmethod
    def read(cls, folder: Path, recipe: str) -> Self:
        """Read the record of a folder; a folder without one has done nothing.

        Raises:
            UsageError: Another recipe has worked in the folder.
            EyelineError: The file is no record.
        """
        file = folder / RECORD
        if not file.is_file():
            return cls(folder, recipe)
        try:
            said = json.loads(file.read_text(encoding="utf-8"))
            found = cls(folder, said["recipe"], dict(said["done"]), said["begun"])
        except (ValueError, KeyError, TypeError):
            raise EyelineError(
                f"{file}: expected the record of a recipe (found something else); remove it to run every command again"
            ) from None
        if found.recipe != recipe:
            raise UsageError(
                f"{folder}: expected a new folder or one of the recipe {recipe} (found one of {found.recipe}); "
                "choose another --out"
            )
        return found

    def begin(self, key: str, before: list[str]) -> bool:
        """Write down that a command begins: of what was done, only the commands before it still hold.

        Args:
            key: Of the command.
            before: The keys of the commands that stand before it.

        Returns:
            Whether the command goes on from where it was stopped: nothing else was begun in between.
        """
        goes_on = self.begun == key
        self.done = {name: entry for name, entry in self.done.items() if name in before}
        self.begun = key
        self._write()
        return goes_on

    def end(self, key: str, seconds: float, *, failures: bool) -> None:
        """Write down that a command came to its end."""
        self.done[key] = {"seconds": seconds, "failures": failures}
        self._write()

    def _write(self) -> None:
        said = {"recipe": self.recipe, "done": self.done, "begun": self.begun}
        write_atomic(self.folder / RECORD, json.dumps(said, indent=2) + "\n")
