"""Shipped entries from their files to a set, and what is said where the files are not there or are wrong."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import curate
from align import UsageError
from curate.cli import main
from curate.registry import load_dataset, registry_tables
from tests.curate.dataset_trees import ck, expw, fer2013, ferplus, items_of, raf_db, write

OURS = {"face-or-not", "lfw-subset"}
"""Entries whose files packages ship; their runs are the demo's tests."""


@pytest.mark.parametrize("name", sorted(set(registry_tables()) - OURS))
def test_an_entry_without_its_files_says_where_they_must_lie_and_where_to_ask(
    name: str, tmp_path: Path, capsys
) -> None:
    assert main(["run", name, "--out", str(tmp_path / "out"), "--root", str(tmp_path)]) == 2
    (error,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    homepage = load_dataset(name).homepage
    assert f"ask for it at {homepage}" in error
    assert str(tmp_path) in error
    assert not (tmp_path / "out").exists()


LAID_OUT: dict[str, Callable[[Path], None]] = {"fer2013": fer2013, "ferplus": ferplus, "raf-db": raf_db}


@pytest.mark.parametrize("name", sorted(LAID_OUT))
def test_sets_of_cropped_faces_run_from_end_to_end(name: str, tmp_path: Path) -> None:
    LAID_OUT[name](tmp_path)
    if name == "raf-db":
        for path in (tmp_path / "Image" / "aligned").iterdir():
            Image.effect_noise((100, 100), 60).save(path)
    assert main(["run", name, "--out", str(tmp_path / "out"), "--root", str(tmp_path)]) == 0
    rows = curate.read_manifest(tmp_path / "out")
    assert len(rows) == (8 if name == "raf-db" else 7)
    assert rows["crop"].notna().all()
    assert set(rows["drop_reason"].dropna()) <= {"unlabelled"}
    assert rows["published_split"].notna().all()
    assert rows["label"].isna().sum() == (3 if name == "ferplus" else 0)


def test_a_set_whose_faces_are_found_runs_from_end_to_end(tmp_path: Path, astronaut: np.ndarray) -> None:
    ck(tmp_path)
    for path in (tmp_path / "cohn-kanade-images").rglob("*.png"):
        Image.fromarray(astronaut[:256, 96:352]).save(path)
    assert main(["run", "ck", "--out", str(tmp_path / "out"), "--root", str(tmp_path)]) == 0
    rows = curate.read_manifest(tmp_path / "out").set_index("source")
    assert rows["crop"].notna().all()
    peak = rows.loc["cohn-kanade-images/S005/001/S005_001_00000011.png"]
    assert (peak["label"], peak["au_9"], peak["au_1"], peak["subject"]) == ("disgust", 1.0, 0.0, "S005")


def test_given_boxes_are_looked_into_and_none_is_detected(tmp_path: Path, astronaut: np.ndarray) -> None:
    expw(tmp_path)
    lines = ["a.jpg 0 65 175 275 165 50.1 3", "a.jpg 1 900 900 990 990 9.0 6", "b.jpg 0 65 175 175 165 50.1 3"]
    write(tmp_path, "label/label.lst", "\n".join(lines) + "\n")
    for name in ("a.jpg", "b.jpg"):
        Image.fromarray(astronaut).save(tmp_path / "image" / "origin" / name, quality=95)
    assert main(["run", "expw", "--out", str(tmp_path / "out"), "--root", str(tmp_path)]) == 3
    rows = curate.read_manifest(tmp_path / "out").set_index("source")
    face = rows.loc["image/origin/a.jpg[0]"]
    assert (face["box_x"], face["box_y"], face["box_w"], face["box_h"]) == (175, 65, 100, 100)
    assert (face["detector"], face["label"]) == ("given", "happy")
    assert face["crop"] is not None
    assert rows.loc["image/origin/a.jpg[1]", "drop_reason"] == "corrupt"  # a box outside of the picture
    assert rows.loc["image/origin/b.jpg", "drop_reason"] == "corrupt"  # a box of no width


def test_a_changed_label_file_makes_its_own_units_again_and_no_others(tmp_path: Path) -> None:
    raf_db(tmp_path)
    for number, path in enumerate(sorted((tmp_path / "Image" / "aligned").iterdir())):
        Image.fromarray(np.random.default_rng(number).integers(0, 256, (100, 100, 3), np.uint8)).save(path)
    out = tmp_path / "out"
    command = ["run", "raf-db", "--out", str(out), "--root", str(tmp_path)]
    assert main(command) == 0
    part = next((out / "parts").iterdir())
    before = part.stat().st_mtime_ns
    assert main(command) == 0
    assert part.stat().st_mtime_ns == before
    labels = tmp_path / "EmoLabel" / "list_patition_label.txt"
    labels.write_text(labels.read_text().replace("train_00001.jpg 1", "train_00001.jpg 7"))
    assert main(command) == 0
    assert part.stat().st_mtime_ns > before
    rows = curate.read_manifest(out).set_index("source")
    assert rows.loc["Image/aligned/train_00001_aligned.jpg", "label"] == "neutral"


def test_a_code_outside_the_vocabulary_is_refused(tmp_path: Path) -> None:
    raf_db(tmp_path)
    labels = tmp_path / "EmoLabel" / "list_patition_label.txt"
    labels.write_text(labels.read_text().replace("train_00001.jpg 1", "train_00001.jpg 9"))
    with pytest.raises(UsageError, match=r"train_00001_aligned\.jpg: expected a label of .* \(found \['9'\]\)"):
        items_of("raf-db", tmp_path)
