"""FER2013's own fault, on a small file laid out like it: test pictures that also stand in the training part."""

import json
from pathlib import Path

import numpy as np

import curate
from curate.cli import main
from curate.outcome import count_rows

EMOTIONS = {"anger": 0, "happy": 3, "sad": 4}


def _line(label: str, picture: np.ndarray, usage: str) -> str:
    return f"{EMOTIONS[label]},{' '.join(map(str, picture.ravel()))},{usage}"


def test_a_training_copy_of_a_test_picture_leaves_the_set_and_status_proves_it(
    tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(5)
    pictures = [rng.integers(0, 256, (6, 6), np.uint8).repeat(8, 0).repeat(8, 1) for _ in range(40)]
    labels = [("anger", "happy", "sad")[number % 3] for number in range(40)]
    usages = ["Training"] * 28 + ["PublicTest"] * 6 + ["PrivateTest"] * 6
    lines = [_line(*values) for values in zip(labels, pictures, usages, strict=True)]
    lines.append(_line(labels[30], pictures[30], "Training"))  # a copy of a validation picture
    lines.append(
        _line("anger" if labels[36] != "anger" else "sad", pictures[36], "Training")
    )  # of a test one, relabelled
    lines.append(_line(labels[37], np.full((48, 48), 7, np.uint8), "Training"))  # a blank picture
    (tmp_path / "fer2013.csv").write_text("\n".join(["emotion,pixels,Usage", *lines]) + "\n")
    assert main(["run", "fer2013", "--out", "set"]) == 0
    rows = curate.read_manifest("set")
    assert count_rows(rows) == {"kept": 40, "blank": 1, "duplicate": 1, "leak": 1}
    kept = rows[rows["drop_reason"].isna()]
    assert kept["split"].value_counts().to_dict() == {"train": 28, "val": 6, "test": 6}
    assert kept["split"].equals(kept["published_split"])
    (copy,) = rows[rows["drop_reason"].eq("duplicate")].to_dict("records")
    assert rows.set_index("face_id").loc[copy["duplicate_of"], "split"] == "val"
    capsys.readouterr()
    assert main(["status", "set", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["failed"] == 0

    table = rows.copy()
    table.loc[table["drop_reason"].isin(["duplicate", "leak"]), ["drop_reason", "duplicate_of"]] = None
    table.loc[table["split"].isna() & table["drop_reason"].isna(), "split"] = "train"
    curate.manifest.write_manifest(Path("set"), table)  # as a script would have left it
    assert main(["status", "set"]) == 3
    assert "train" in capsys.readouterr().out
