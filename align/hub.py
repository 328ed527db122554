"""Checked model files where face-alignment looks for them, so that it neither downloads nor reads an unchecked one."""

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError

from .errors import ModelError
from .models import MODELS, ModelFile, find_model


@contextmanager
def serve_to_torch_hub(names: Iterable[str], path: Path | None = None) -> Iterator[Path]:
    """Let torch hub see the named model files, and no others, while the block runs.

    `torch.hub.get_dir()` is a temporary folder meanwhile; it is one setting of the whole process, so no other thread
    may use torch hub in the same moments. Afterwards, also after an error, it is what it was before.

    Args:
        names: Keys of `MODELS`; all that the block is going to load.
        path: A folder to look into before the usual places.

    Yields:
        The folder of the checkpoints, which holds links to the files.

    Raises:
        ModelError: A file is missing or wrong, or is none that torch hub serves; at the end, if the block made torch
            hub download a file that was not named.
    """
    import torch

    names = list(names)
    files = {_hub_name(name): find_model(name, path) for name in names}
    for name in names:
        _require_plain_weights(MODELS[name], files[_hub_name(name)])
    before = torch.hub._hub_dir  # noqa: SLF001  get_dir() resolves TORCH_HOME: set_dir(get_dir()) would freeze it
    with tempfile.TemporaryDirectory(prefix="eyeline-hub-") as folder:
        checkpoints = Path(folder) / "checkpoints"
        checkpoints.mkdir()
        for name, source in files.items():
            _link(source.absolute(), checkpoints / name)
        torch.hub.set_dir(folder)
        try:
            yield checkpoints
        finally:
            torch.hub._hub_dir = before  # noqa: SLF001
        if strangers := sorted({entry.name for entry in checkpoints.iterdir()} - set(files)):
            raise ModelError(
                f"torch hub: expected only {', '.join(sorted(files))} to be loaded (found {', '.join(strangers)}, "
                f"unchecked); name each file that is loaded"
            )


def _hub_name(name: str) -> str:
    card = MODELS.get(name)
    if card is None or card.hub_name is None:
        known = sorted(card.name for card in MODELS.values() if card.hub_name)
        raise ModelError(f"torch hub: expected model files of {known} (found {name!r})")
    return card.hub_name


def _require_plain_weights(card: ModelFile, path: Path) -> None:
    """Refuse a pickle that runs code; torch.hub.load_state_dict_from_url would run it, and no published sha256 vouches.

    Raises:
        ModelError: The file holds more than tensors and plain values, or cannot be read.
    """
    if card.sha256 is not None or path.suffix != ".pth":
        return
    import torch

    try:
        torch.load(path, map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        first_line = str(error).partition("\n")[0]
        raise ModelError(
            f"{path}: expected a file of weights and nothing else ({first_line}); remove it and do not load it"
        ) from None


def _link(source: Path, target: Path) -> None:
    """Link, or copy where the disk or the system allows no link."""
    for link in (os.symlink, os.link):
        try:
            link(source, target)
        except OSError:
            continue
        return
    shutil.copyfile(source, target)
