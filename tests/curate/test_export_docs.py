"""The pages on balancing and exporting say what is true: their commands and their Python run, their tables hold."""

import gc
import re
import shlex
import warnings
from pathlib import Path

import numpy as np
import pytest

from curate import balance, read_manifest
from curate.balance.units import MAX_REPEAT
from curate.cli import main
from curate.config import Balance
from curate.export import FORMATS
from curate.registry import load_dataset

HOW_TO = Path(__file__).resolve().parents[2] / "docs" / "how-to"


def blocks(page, kind):
    return re.findall(rf"^```{kind}\n(.*?)^```", (HOW_TO / page).read_text(), flags=re.DOTALL | re.MULTILINE)


def test_the_commands_and_the_python_of_the_export_page_run(made, tmp_path, monkeypatch):
    for library in ("webdataset", "datasets"):
        pytest.importorskip(library, reason=f"pip install {library}")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    (tmp_path / "sets").mkdir()
    (tmp_path / "sets" / "drivers").symlink_to(made)
    commands = [line for block in blocks("export.md", "sh") for line in block.splitlines()]
    assert {shlex.split(line)[4] for line in commands} == set(FORMATS)
    for command in commands:
        assert main(shlex.split(command)[1:]) == 0, command
    names = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # webdataset leaves it to Python to close its shards
        for code in blocks("export.md", "python"):
            exec(code, names)  # noqa: S102  the page's own lines
        shown = [sample["__key__"] for sample in names["train"]]
        gc.collect()
    kept = read_manifest(made)
    kept = kept[kept["drop_reason"].isna()]
    assert sorted(shown) == sorted(kept.loc[kept["split"] == "train", "face_id"])
    assert sorted(names["faces"]["face_id"]) == sorted(kept["face_id"])
    assert names["names"] == ["not_face", "face"]


def test_the_settings_of_the_balance_page_are_valid(tmp_path):
    settings = blocks("balance.md", "toml")
    assert len(settings) == 2
    for number, line in enumerate(settings):
        path = tmp_path / f"{number}.toml"
        path.write_text(f'[drivers]\nsource = {{ kind = "images", path = "a" }}\n{line}')
        assert load_dataset("drivers", path).balance != Balance()
    assert f"`max_repeat` ({MAX_REPEAT} by default)" in (HOW_TO / "balance.md").read_text()


def test_the_figures_of_the_balance_page_are_those_of_the_code():
    table = re.findall(r"^\| `(.+?)`.*\| ([\d,]+) \| ([\d,]+) \|$", (HOW_TO / "balance.md").read_text(), re.MULTILINE)
    assert len(table) == 4
    for kind, *figures in table:
        asked = {"false": False, "true": True}.get(kind, kind.split('"')[1] if '"' in kind else kind)
        found = balance.targets(np.array([40, 400, 4000]), Balance(oversample=asked))[:2]
        assert [f"{value:,.0f}" for value in found] == figures, kind
