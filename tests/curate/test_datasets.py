"""Every shipped entry on a small tree that is laid out as the real set is."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import curate
from align import Box, UsageError
from curate.cli import main
from curate.registry import load_dataset, registry_tables
from curate.sources import Item, list_units
from curate.units import require_known_labels
from tests.curate.small import tables_of_recipes
from tests.curate.source_kinds import picture
from tests.videos import shorten

EMOTIONS = ("neutral", "happy", "sad", "surprise", "fear", "disgust", "anger")
OURS = {"face-or-not", "lfw-subset"}
"""Entries whose files packages ship; their runs are the demo's tests."""


def items_of(name: str, root: Path) -> dict[str, Item]:
    """The items of an entry by source; its labels are in its vocabulary."""
    dataset = load_dataset(name)
    units = list(list_units(dataset, root, root / "out"))
    require_known_labels(units, dataset)
    return {item.source: item for unit in units for item in unit.items}


def whole(items: dict[str, Item]) -> dict[str, dict]:
    return {name: dict(item.labels.whole) for name, item in items.items()}


def _write(root: Path, name: str, text: str) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)


def _fer2013(root: Path) -> None:
    usage = ["Training"] * 3 + ["PublicTest"] * 2 + ["PrivateTest"] * 2
    rng = np.random.default_rng(0)
    lines = [f"{n},{' '.join(map(str, rng.integers(0, 256, 2304)))},{usage[n]}" for n in range(7)]
    _write(root, "fer2013.csv", "emotion,pixels,Usage\n" + "\n".join(lines) + "\n")


def test_fer2013_study(tmp_path: Path) -> None:
    _fer2013(tmp_path)
    assert items_of("fer2013-study", tmp_path) == items_of("fer2013", tmp_path)
    study, plain = load_dataset("fer2013-study"), load_dataset("fer2013")
    assert (study.balance.oversample, plain.balance.oversample) == ("equal", False)
    assert (study.labels, study.align, study.licence) == (plain.labels, plain.align, plain.licence)


def test_fer2013_study_leaky(tmp_path: Path) -> None:
    _fer2013(tmp_path)
    assert items_of("fer2013-study-leaky", tmp_path) == items_of("fer2013", tmp_path)
    assert load_dataset("fer2013-study-leaky").balance == load_dataset("fer2013-study").balance


def test_fer2013(tmp_path: Path) -> None:
    _fer2013(tmp_path)
    found = whole(items_of("fer2013", tmp_path))
    assert [said["label"] for said in found.values()] == [
        *("anger", "disgust", "fear", "happy", "sad", "surprise", "neutral")
    ]
    assert [said["published_split"] for said in found.values()] == ["train"] * 3 + ["val"] * 2 + ["test"] * 2
    assert list(found) == [f"fer2013.csv[{row}]" for row in range(7)]


def _ferplus(root: Path) -> None:
    _fer2013(root)
    _write(
        root,
        "fer2013new.csv",
        "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF\n"
        "Training,fer0000000.png,4,0,0,1,3,2,0,0,0,0\n"
        "Training,fer0000001.png,6,0,1,1,0,0,0,0,2,0\n"
        "Training,fer0000002.png,5,0,0,5,0,0,0,0,0,0\n"
        "PublicTest,,0,0,0,0,0,0,0,0,0,10\n"
        "PublicTest,fer0000004.png,0,0,0,0,0,0,0,1,9,0\n"
        "PrivateTest,fer0000005.png,0,10,0,0,0,0,0,0,0,0\n"
        "PrivateTest,fer0000006.png,0,0,0,1,0,0,0,9,0,0\n",
    )


def test_ferplus(tmp_path: Path) -> None:
    _ferplus(tmp_path)
    found = whole(items_of("ferplus", tmp_path))
    labels = ["neutral", "neutral", None, None, None, "happy", "contempt"]
    assert [said.get("label") for said in found.values()] == labels
    assert [said["published_split"] for said in found.values()] == ["train"] * 3 + ["val"] * 2 + ["test"] * 2


def _affectnet(root: Path) -> None:
    header = "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal\n"
    lines = "689/1.jpg,2,3,5,4,1.5;2.5;3;4,1,0.785714,-0.055556\n392/2.jpg,NULL,NULL,NULL,NULL,NULL,10,-2,-2\n"
    _write(root, "Manually_Annotated_file_lists/training.csv", header + lines)
    _write(root, "Manually_Annotated_file_lists/validation.csv", header + "1/3.JPG,0,0,9,8,1;2,7,-0.5,0.5\n")
    for name in ("689/1.jpg", "392/2.jpg", "1/3.JPG"):
        picture(root / "Manually_Annotated_Images" / name)


def test_affectnet(tmp_path: Path) -> None:
    _affectnet(tmp_path)
    items = items_of("affectnet", tmp_path)
    folder = "Manually_Annotated_Images"
    assert whole(items) == {
        f"{folder}/689/1.jpg": {
            "label": "happy",
            "valence": 0.785714,
            "arousal": -0.055556,
            "published_split": "train",
        },
        f"{folder}/392/2.jpg": {"published_split": "train"},
        f"{folder}/1/3.JPG": {"label": "contempt", "valence": -0.5, "arousal": 0.5, "published_split": "val"},
    }
    assert [item.box for item in items.values()] == [Box(2, 3, 5, 4), None, Box(0, 0, 9, 8)]


def _affectnet_crops(root: Path) -> None:
    for part, number, values in (("train", 0, ("3", "0.5", "-0.25")), ("val", 7, ("7", "-0.75", "-2"))):
        picture(root / f"{part}_set" / "images" / f"{number}.jpg")
        (root / f"{part}_set" / "annotations").mkdir()
        for short, value in zip(("exp", "val", "aro"), values, strict=True):
            np.save(root / f"{part}_set" / "annotations" / f"{number}_{short}.npy", np.array(value))
        np.save(root / f"{part}_set" / "annotations" / f"{number}_lnd.npy", np.zeros((68, 2)))


def test_affectnet_crops(tmp_path: Path) -> None:
    _affectnet_crops(tmp_path)
    assert whole(items_of("affectnet-crops", tmp_path)) == {
        "train_set/images/0.jpg": {
            "label": "surprise",
            "valence": 0.5,
            "arousal": -0.25,
            "published_split": "train",
        },
        "val_set/images/7.jpg": {"label": "contempt", "valence": -0.75, "published_split": "val"},
    }


def _raf_db(root: Path) -> None:
    lines = [f"train_{n:05d}.jpg {n}" for n in range(1, 8)] + ["test_0001.jpg 4"]
    _write(root, "EmoLabel/list_patition_label.txt", "\n".join(lines) + "\n")
    for line in lines:
        picture(root / "Image" / "aligned" / line.split()[0].replace(".jpg", "_aligned.jpg"), size=(100, 100))


def test_raf_db(tmp_path: Path) -> None:
    _raf_db(tmp_path)
    found = whole(items_of("raf-db", tmp_path))
    expected = ["surprise", "fear", "disgust", "happy", "sad", "anger", "neutral"]
    assert found == {
        f"Image/aligned/train_{n:05d}_aligned.jpg": {"label": label, "published_split": "train"}
        for n, label in enumerate(expected, 1)
    } | {"Image/aligned/test_0001_aligned.jpg": {"label": "happy", "published_split": "test"}}


_KDEF_CODES = {
    "AF": "fear",
    "AN": "anger",
    "DI": "disgust",
    "HA": "happy",
    "NE": "neutral",
    "SA": "sad",
    "SU": "surprise",
}


def _kdef(root: Path) -> None:
    for code in _KDEF_CODES:
        for angle in ("S", "HL", "FR"):
            picture(root / "KDEF_and_AKDEF" / "KDEF" / "AF01" / f"AF01{code}{angle}.JPG")
    picture(root / "KDEF_and_AKDEF" / "KDEF" / "BM35" / "BM35AFHR.JPG")


def test_kdef(tmp_path: Path) -> None:
    _kdef(tmp_path)
    found = whole(items_of("kdef", tmp_path))
    assert len(found) == 22
    for code, label in _KDEF_CODES.items():
        for angle in ("S", "HL", "FR"):
            assert found[f"KDEF_and_AKDEF/KDEF/AF01/AF01{code}{angle}.JPG"] == {"label": label, "subject": "F01"}
    assert found["KDEF_and_AKDEF/KDEF/BM35/BM35AFHR.JPG"] == {"label": "fear", "subject": "M35"}


def _akdef(root: Path) -> None:
    for sex in "FM":
        for code in _KDEF_CODES:
            picture(root / "KDEF_and_AKDEF" / "AKDEF" / f"{sex}{code}FL.JPG")
            picture(root / "KDEF_and_AKDEF" / "AKDEF" / f"{sex}{code}S.JPG")


def test_akdef(tmp_path: Path) -> None:
    _akdef(tmp_path)
    found = whole(items_of("akdef", tmp_path))
    assert found == {
        f"KDEF_and_AKDEF/AKDEF/{sex}{code}{angle}.JPG": {"label": label, "subject": sex}
        for sex in "FM"
        for code, label in _KDEF_CODES.items()
        for angle in ("FL", "S")
    }


def _lfw_sun(root: Path) -> None:
    picture(root / "lfw" / "Aaron_Eckhart" / "Aaron_Eckhart_0001.jpg", size=(250, 250))
    picture(root / "SUN397" / "a" / "abbey" / "sun_aaalbzqrimafwbiv.jpg", size=(300, 200))


def test_lfw_sun(tmp_path: Path) -> None:
    _lfw_sun(tmp_path)
    items = items_of("lfw-sun", tmp_path)
    assert whole(items) == {
        "lfw/Aaron_Eckhart/Aaron_Eckhart_0001.jpg": {"label": "face", "subject": "Aaron_Eckhart"},
        "SUN397/a/abbey/sun_aaalbzqrimafwbiv.jpg": {},
    }
    assert [item.background is not None for item in items.values()] == [False, True]


def _ck(root: Path) -> None:
    for name in ("S005/001/S005_001_00000001", "S005/001/S005_001_00000002", "S005/001/S005_001_00000011"):
        picture(root / "cohn-kanade-images" / f"{name}.png")
    picture(root / "cohn-kanade-images" / "S010" / "002" / "S010_002_00000014.png")
    (root / "Emotion" / "S010" / "002").mkdir(parents=True)  # most sequences have none
    _write(root, "Emotion/S005/001/S005_001_00000011_emotion.txt", "   3.0000000e+00\n")
    _write(root, "FACS/S005/001/S005_001_00000011_facs.txt", "   9.0000000e+00   4.0\n   1.7000000e+01   0.0\n")
    _write(root, "FACS/S010/002/S010_002_00000014_facs.txt", "   1.0000000e+00   3.0\n")


def test_ck(tmp_path: Path) -> None:
    _ck(tmp_path)
    found = whole(items_of("ck", tmp_path))
    first, second, peak, other = found.values()
    assert first == {"label": "neutral", "subject": "S005"}
    assert second == {"subject": "S005"}
    assert (peak.pop("label"), peak.pop("subject")) == ("disgust", "S005")
    assert {name for name, value in peak.items() if value} == {"au_9", "au_17"}
    assert set(peak.values()) == {0.0, 1.0}
    assert "label" not in other
    assert other["au_1"] == 1.0
    assert other["au_17"] == 0.0


def _disfa(root: Path, clips: Path) -> None:
    shorten(clips / "carphone_pristine.mp4", root / "Videos_LeftCamera" / "LeftVideoSN001_comp.avi", 6)
    for unit in (1, 2, 4, 5, 6, 9, 12, 15, 17, 20, 25, 26):
        lines = "".join(f"{frame},{frame - 1 if unit == 12 else 0}\n" for frame in range(1, 7))
        _write(root, f"ActionUnit_Labels/SN001/SN001_au{unit}.txt", lines)


def test_disfa(tmp_path: Path, clips: Path) -> None:
    _disfa(tmp_path, clips)
    (item,) = items_of("disfa", tmp_path).values()
    assert item.labels.whole == {"subject": "SN001"}
    assert [item.labels.at(frame, None)["au_12"] for frame in range(6)] == [0, 0, 1, 1, 1, 1]
    assert item.labels.at(3, None)["au_25"] == 0
    assert len(item.labels.at(0, None)) == 13
    assert "au_12" not in item.labels.at(6, None)


def _bp4d(root: Path) -> None:
    for frame in (2439, 2440, 2441):
        picture(root / "Sequences" / "F001" / "T1" / f"{frame}.jpg")
    _write(root, "AUCoding/AU_OCC/F001_T1.csv", "0,1,2,4,12,27\n2440,0,1,0,1,9\n2441,0,0,0,1,9\n")


def test_bp4d(tmp_path: Path, capsys) -> None:
    _bp4d(tmp_path)
    assert whole(items_of("bp4d", tmp_path)) == {
        f"Sequences/F001/T1/{frame}.jpg": {
            "subject": "F001",
            "au_1": 0.0,
            "au_2": au_2,
            "au_4": 0.0,
            "au_12": 1.0,
        }
        for frame, au_2 in ((2440, 1.0), (2441, 0.0))
    }
    assert "1 of 3 images are left out" in capsys.readouterr().err


def _aff_wild2(root: Path, clips: Path) -> None:
    for name in ("batch1/1-30-1280x720.mp4", "batch2/5-60-1920x1080-1.mp4", "batch1/video10_1.mp4"):
        shorten(clips / "carphone_pristine.mp4", root / name, 4)
    tasks = {
        "EXPR_Recognition_Challenge": (
            "Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise,Other",
            ["0", "-1", "4", "7"],
        ),
        "VA_Estimation_Challenge": ("valence,arousal", ["-1,0.5", "-5,-5", "0.25,0.1", "0.1,-0.2"]),
        "AU_Detection_Challenge": (
            "AU1,AU2,AU4,AU6,AU7,AU10,AU12,AU15,AU23,AU24,AU25,AU26",
            ["0,0,0,0,1,0,0,0,0,0,1,0", ",".join(["-1"] * 12), *[",".join(["0"] * 12)] * 2],
        ),
    }
    for task, (header, lines) in tasks.items():
        text = "\n".join([header, *lines]) + "\n"
        _write(root, f"annotations/{task}/Train_Set/1-30-1280x720.txt", text)
        _write(root, f"annotations/{task}/Validation_Set/5-60-1920x1080-1.txt", text)
        _write(root, f"annotations/{task}/Train_Set/video10_1_left.txt", text)


@pytest.mark.parametrize(
    ("name", "first", "third"),
    [
        ("aff-wild2", {"label": "neutral"}, {"label": "happy"}),
        ("aff-wild2-va", {"valence": -1.0, "arousal": 0.5}, {"valence": 0.25, "arousal": 0.1}),
        ("aff-wild2-au", {"au_7": 1.0, "au_25": 1.0}, {}),
    ],
)
def test_aff_wild2(name: str, first: dict, third: dict, tmp_path: Path, clips: Path, capsys) -> None:
    _aff_wild2(tmp_path, clips)
    items = items_of(name, tmp_path)
    parts = {"batch1/1-30-1280x720.mp4": "train", "batch2/5-60-1920x1080-1.mp4": "val"}
    assert {source: item.labels.whole["published_split"] for source, item in items.items()} == parts
    for item in items.values():
        for frame, wanted in enumerate((first, {}, third)):
            known = item.labels.at(frame, None)
            assert {name: value for name, value in known.items() if value not in (0.0, "train", "val")} == wanted
        assert item.labels.at(9, None).keys() == {"published_split"}
    assert "1 of 3 videos are left out" in capsys.readouterr().err


def _expw(root: Path) -> None:
    _write(
        root,
        "label/label.lst",
        "afraid_african_214.jpg 0 2 1 6 7 45.2926 2\n"
        "afraid_african_214.jpg 1 0 3 9 8 9.5 6\n"
        "angry_men_1.jpg 0 1 2 8 6 54.7 0\n",
    )
    for name in ("afraid_african_214.jpg", "angry_men_1.jpg"):
        picture(root / "image" / "origin" / name)


def test_expw(tmp_path: Path) -> None:
    _expw(tmp_path)
    items = items_of("expw", tmp_path)
    assert {name: (item.labels.whole["label"], item.box) for name, item in items.items()} == {
        "image/origin/afraid_african_214.jpg[0]": ("fear", Box(1, 2, 5, 5)),
        "image/origin/afraid_african_214.jpg[1]": ("neutral", Box(3, 0, 6, 8)),
        "image/origin/angry_men_1.jpg": ("anger", Box(2, 1, 6, 5)),
    }


def test_every_entry_is_tested_here_and_shares_one_vocabulary() -> None:
    tested = {name.removeprefix("test_").replace("_", "-") for name in globals() if name.startswith("test_")}
    names = set(registry_tables()) - tables_of_recipes()
    assert names - {"aff-wild2-va", "aff-wild2-au"} <= tested
    for name in names - {"lfw-sun"}:
        assert set(load_dataset(name).labels) <= {*EMOTIONS, "contempt"}, name


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


LAID_OUT: dict[str, Callable[[Path], None]] = {"fer2013": _fer2013, "ferplus": _ferplus, "raf-db": _raf_db}


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
    _ck(tmp_path)
    for path in (tmp_path / "cohn-kanade-images").rglob("*.png"):
        Image.fromarray(astronaut[:256, 96:352]).save(path)
    assert main(["run", "ck", "--out", str(tmp_path / "out"), "--root", str(tmp_path)]) == 0
    rows = curate.read_manifest(tmp_path / "out").set_index("source")
    assert rows["crop"].notna().all()
    peak = rows.loc["cohn-kanade-images/S005/001/S005_001_00000011.png"]
    assert (peak["label"], peak["au_9"], peak["au_1"], peak["subject"]) == ("disgust", 1.0, 0.0, "S005")


def test_given_boxes_are_looked_into_and_none_is_detected(tmp_path: Path, astronaut: np.ndarray) -> None:
    _expw(tmp_path)
    lines = ["a.jpg 0 65 175 275 165 50.1 3", "a.jpg 1 900 900 990 990 9.0 6", "b.jpg 0 65 175 175 165 50.1 3"]
    _write(tmp_path, "label/label.lst", "\n".join(lines) + "\n")
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
    _raf_db(tmp_path)
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
    _raf_db(tmp_path)
    labels = tmp_path / "EmoLabel" / "list_patition_label.txt"
    labels.write_text(labels.read_text().replace("train_00001.jpg 1", "train_00001.jpg 9"))
    with pytest.raises(UsageError, match=r"train_00001_aligned\.jpg: expected a label of .* \(found \['9'\]\)"):
        items_of("raf-db", tmp_path)
