"""`eyeline-curate status`: planted leaks are found in a set and in any folder with splits, and clean ones are clean."""

import json
import os
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from align import UsageError
from curate import hashing, leaks, status
from curate.cli import main
from curate.config import Dedup
from tests.curate.report_sets import HOSTILE, flip, make_set, record_of


def picture(seed: int, side: int = 64) -> np.ndarray:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (9, 9, 3), dtype=np.uint8)
    return cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)


def save(root: Path, name: str, image: np.ndarray, **options: object) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, **options)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give twelve pictures in three sides, of two classes, none like another."""
    for number in range(12):
        side = ("train", "Validation", "TEST")[min(number // 4, 2)]
        save(tmp_path / "set", f"{side}/{'ab'[number % 2]}/{number}.png", picture(number))
    return tmp_path / "set"


def outcome(found: status.Status, topic: str, level: str) -> list[leaks.Check]:
    return [check for check in found.checks if (check.topic, check.level) == (topic, level)]


def test_a_clean_folder_is_clean(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = status.look(folder)
    assert not found.failed
    assert {side: counts["pictures"] for side, counts in found.sides.items()} == {"train": 4, "val": 4, "test": 4}
    assert {side: counts["classes"] for side, counts in found.sides.items()} == {"train": 2, "val": 2, "test": 2}
    assert main(["status", str(folder)]) == 0
    said = capsys.readouterr().out
    assert "No picture stands on two sides (of 12)" in said
    assert "People were not compared" in said


def test_copies_are_found_whatever_their_format_and_told_by_sides(folder: Path) -> None:
    save(folder, "TEST/a/copy of 0.bmp", picture(0))
    save(folder, "TEST/b/copy of 4.png", picture(4))
    save(folder, "train/b/again 0.tif", picture(0))
    (check,) = outcome(status.look(folder), "copies", "failed")
    assert check.text == "Leak: 2 pictures stand on two sides as exact copies: 1 in train and test, 1 in val and test."
    assert "TEST/a/copy of 0.bmp, train/a/0.png, train/b/again 0.tif" in check.details
    (within,) = outcome(status.look(folder), "copies", "warning")
    assert within.details == ("train/a/0.png, train/b/again 0.tif",)
    (labels,) = outcome(status.look(folder), "labels", "warning")
    assert "2 pictures have copies of another label" in labels.text


def test_near_duplicates_are_found_within_the_radius_alone(folder: Path) -> None:
    save(folder, "TEST/b/jpeg of 0.jpg", picture(0), quality=90)
    h = hashing.phash([picture(0), np.asarray(Image.open(folder / "TEST/b/jpeg of 0.jpg"))])
    apart = int(np.bitwise_count(h[0] ^ h[1]).sum())
    assert 0 < apart <= 16
    found = status.look(folder)
    (check,) = outcome(found, "near", "failed")
    assert check.details == (f"TEST/b/jpeg of 0.jpg, train/a/0.png ({apart} bits)",)
    assert "1 in train and test" in check.text
    assert not outcome(found, "copies", "failed")
    (labels,) = outcome(found, "labels", "warning")
    assert "1 near-duplicate pairs have two labels" in labels.text
    tighter = status.look(folder, status.Asked(Dedup(radius=apart - 1)))
    assert not outcome(tighter, "near", "failed")
    (folder / "TEST/b/jpeg of 0.jpg").unlink()
    save(folder, "train/a/jpeg of 0.jpg", picture(0), quality=90)
    assert not status.look(folder).failed
    assert len(outcome(status.look(folder), "near", "warning")) == 1


def test_grey_pictures_are_not_called_near_but_their_copies_are_found(folder: Path) -> None:
    save(folder, "train/a/grey.png", np.full((30, 30, 3), 100, np.uint8))
    save(folder, "TEST/a/grey too.png", np.full((40, 40, 3), 101, np.uint8))
    found = status.look(folder)
    assert not found.failed
    assert "2 pictures are nearly one grey" in outcome(found, "files", "skipped")[0].text
    save(folder, "TEST/a/grey copy.png", np.full((30, 30, 3), 100, np.uint8))
    assert len(status.look(folder).failed) == 1


def test_files_that_cannot_be_read_are_listed_and_exit_with_3(folder: Path, capsys) -> None:
    (folder / "train" / "a" / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing")
    (folder / "train" / "notes.txt").write_text("no picture")
    assert main(["status", str(folder), "--json"]) == 3
    said = json.loads(capsys.readouterr().out)
    broken = [check for check in said["checks"] if check["level"] == "failed"]
    assert [check["text"] for check in broken] == ["1 of 13 files cannot be read."]
    assert "broken.jpg" in broken[0]["details"][0]


def test_a_large_picture_and_its_small_copy_are_near(folder: Path) -> None:
    save(folder, "TEST/a/large.png", cv2.resize(picture(0), (700, 700), interpolation=cv2.INTER_CUBIC))
    assert len(outcome(status.look(folder), "near", "failed")) == 1


def test_sides_without_classes_have_no_conflict(tmp_path: Path) -> None:
    save(tmp_path, "training/1.png", picture(1))
    save(tmp_path, "testing/1.png", picture(1))
    save(tmp_path, "valid/2.png", picture(2))
    found = status.look(tmp_path)
    assert set(found.sides) == {"train", "val", "test"}
    assert [check.topic for check in found.failed] == ["copies"]
    assert not outcome(found, "labels", "warning")


def test_no_folder_no_sides_and_no_pictures_are_wrong_usage(tmp_path: Path, capsys) -> None:
    with pytest.raises(UsageError, match="not found"):
        status.look(tmp_path / "gone")
    (tmp_path / "one").mkdir()
    with pytest.raises(UsageError, match="expected a curated set, or folders called train"):
        status.look(tmp_path)
    (tmp_path / "test").mkdir()
    with pytest.raises(UsageError, match=r"expected pictures in test \(found none\)"):
        status.look(tmp_path)
    assert main(["status", str(tmp_path), "--radius", "200"]) == 2
    assert "--radius must be a number of bits from 0 to 128" in capsys.readouterr().err


def test_hostile_names_print_as_text_on_one_line(tmp_path: Path, capsys) -> None:
    name = "two\nlines [bold]\x1b[31m\udcff.png"
    try:
        save(tmp_path, f"train/{name}", picture(1))
    except OSError:
        pytest.skip("this disk takes no such name")
    save(tmp_path, "test/plain.png", picture(1))
    assert main(["status", os.fsdecode(tmp_path)]) == 3
    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert "train/two\\nlines [bold]\\x1b[31m\\xff.png" in said
    assert main(["status", str(tmp_path), "--json"]) == 3
    assert json.loads(capsys.readouterr().out)["failed"] == 1


def test_people_on_two_sides_are_found_by_their_faces(tmp_path: Path, astronaut: np.ndarray, capsys) -> None:
    save(tmp_path, "train/a.png", astronaut)
    save(tmp_path, "test/b.png", np.clip(astronaut[:300, 60:400].astype(int) + 40, 0, 255).astype(np.uint8)[:, ::-1])
    save(tmp_path, "test/c.png", picture(3))
    assert main(["status", str(tmp_path)]) == 0
    found = status.look(tmp_path, status.Asked(people=True))
    (check,) = outcome(found, "people", "failed")
    assert "Leak: 1 person stands on two sides (1 people by 2 faces; 1 pictures show none)." in check.text
    capsys.readouterr()
    assert main(["status", str(tmp_path), "--people"]) == 3


def test_a_sound_set_passes_and_each_planted_fault_is_found(tmp_path: Path, rows, capsys) -> None:
    rows = [
        row | {"repeat": 1} if row.get("split") in ("val", "test") and not row.get("drop_reason") else row
        for row in rows
    ]
    record = record_of(rows) | {"rows": {"kept": 50, "no_face": 4, "blurred": 3, "duplicate": 2, "over_cap": 1}}
    out = make_set(tmp_path / "sound", rows, record)
    assert main(["status", str(out)]) == 0
    said = capsys.readouterr().out
    assert "FAILED" not in said
    assert "Reasons reconcile: 60 rows, of which 50 are kept" in said
    faults = {
        "are not shown exactly once": (45, {"repeat": 2}),
        "stands on two sides": (45, {"subject": "person 0", "source_id": "own"}),
        "near-duplicate pair across sides": (45, {"hash": flip(rows[0]["hash"], 20)}),
        "exact copy across sides": (
            45, {key: rows[0][key] for key in ("hash", "sharpness", "brightness", "contrast")},
        ),
        "have no side": (45, {"split": None, "repeat": None}),
        "not in their published part": (45, {"published_split": "test"}),
        "Reasons do not reconcile": (46, {"drop_reason": "dark"}),
    }  # fmt: skip
    for number, (told, (place, values)) in enumerate(faults.items()):
        spoilt = [row | values if n == place else row for n, row in enumerate(rows)]
        out = make_set(tmp_path / str(number), spoilt, record)
        assert main(["status", str(out), "--json"]) == 3, told
        found = json.loads(capsys.readouterr().out)
        assert [check["text"] for check in found["checks"] if check["level"] == "failed" and told in check["text"]], (
            told
        )
        assert found["failed"] == 1, told
    lost = make_set(tmp_path / "lost", rows, record)
    (lost / rows[0]["crop"]).unlink()
    assert "crop files are missing" in status.look(lost).failed[0].text


def test_folds_are_checked(tmp_path: Path, rows) -> None:
    rows = [row | {"fold": {"train": 1, "val": 2, "test": 0}.get(row.get("split"))} for row in rows]
    record = record_of(rows)
    record["split"] |= {"folds": 3, "fold": 0}
    assert not status.look(make_set(tmp_path / "a", rows, record)).failed
    record["split"] |= {"fold": 1}
    assert any(
        "of fold 1 are not in test" in c.text for c in status.look(make_set(tmp_path / "b", rows, record)).failed
    )
    record["split"] |= {"fold": 0}
    rows[1] |= {"fold": 2}
    assert any(
        "1 of 6 sources stand in two folds" in c.text
        for c in status.look(make_set(tmp_path / "c", rows, record)).failed
    )


def test_conflicting_labels_and_what_was_asked_for_are_warnings(tmp_path: Path, rows) -> None:
    rows[1] |= {"hash": flip(rows[0]["hash"], 3), "label": "happy"}
    rows[45] |= {"published_split": "test"}
    record = record_of(rows)
    record["config"]["split"] = {"published": "ignore"}
    found = status.look(make_set(tmp_path, rows, record))
    assert not found.failed
    warned = [check.text for check in found.checks if check.level == "warning"]
    assert any("1 near-duplicate pair has two labels" in text for text in warned)
    assert any("not in their published part, as the configuration asks" in text for text in warned)


def test_a_name_in_a_set_prints_as_text(tmp_path: Path, rows, capsys) -> None:
    for number, name in enumerate(HOSTILE):
        rows[number] |= {"source": name, "source_id": name, "subject": name}
        rows[45 + number % 5] |= {"source": name, "source_id": name, "subject": name}
    assert main(["status", str(make_set(tmp_path, rows))]) == 3
    said = capsys.readouterr().out
    assert "two\\nlines\\tand \\u202egpj.mp4" in said
    assert "\u202e" not in said


def test_the_made_set_is_proven(made: Path, capsys) -> None:
    assert main(["status", str(made)]) == 0
    said = capsys.readouterr().out
    assert "There are no near-duplicate pairs across sides" in said
    assert "FAILED" not in said


def test_a_thousand_crops_take_no_more_than_seconds(tmp_path: Path) -> None:
    for number in range(1000):
        save(tmp_path, f"{'test' if number % 5 == 0 else 'train'}/{number}.png", picture(number, 48))
    started = time.perf_counter()
    found = status.look(tmp_path)
    assert time.perf_counter() - started < 20  # about one second on two idle cores
    assert not found.failed


def test_a_mirrored_copy_on_another_side_is_a_leak(folder: Path) -> None:
    save(folder, "TEST/a/mirror.jpg", picture(0)[:, ::-1], quality=92)
    (check,) = outcome(status.look(folder), "near", "failed")
    assert check.details[0].startswith("TEST/a/mirror.jpg, train/a/0.png")
