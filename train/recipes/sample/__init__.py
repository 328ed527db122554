"""Makes small sets that are laid out as the real ones, so that each recipe can be run by everybody."""

import shutil
from importlib import import_module
from pathlib import Path


def make_sample(name: str, folder: Path) -> None:
    """Make the set `name` in a folder, the same at each making; a folder that is there is left as it is.

    Args:
        name: Of the module here that writes it.
        folder: Appears whole or not at all.
    """
    if folder.is_dir():
        return
    unfinished = folder.with_name(f".{folder.name}")
    if unfinished.is_dir():
        shutil.rmtree(unfinished)
    unfinished.mkdir(parents=True)
    import_module(f".{name}", __package__).make(unfinished)
    unfinished.replace(folder)
