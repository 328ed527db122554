"""Every shipped entry on a small tree that is laid out as the real set is."""

from pathlib import Path

import pytest

from align import Box
from curate.registry import load_dataset, registry_tables
from curate.sources import Item
from tests.curate import dataset_trees as trees
from tests.curate.dataset_trees import items_of
from tests.curate.small import tables_of_recipes

EMOTIONS = ("neutral", "happy", "sad", "surprise", "fear", "disgust", "anger")


def whole(items: dict[str, Item]) -> dict[str, dict]:
    return {name: dict(item.labels.whole) for name, item in items.items()}


def test_fer2013_study(tmp_path: Path) -> None:
    trees.fer2013(tmp_path)
    assert items_of("fer2013-study", tmp_path) == items_of("fer2013", tmp_path)
    study, plain = load_dataset("fer2013-study"), load_dataset("fer2013")
    assert (study.balance.oversample, plain.balance.oversample) == ("equal", False)
    assert (study.labels, study.align, study.licence) == (plain.labels, plain.align, plain.licence)


def test_fer2013_study_leaky(tmp_path: Path) -> None:
    trees.fer2013(tmp_path)
    assert items_of("fer2013-study-leaky", tmp_path) == items_of("fer2013", tmp_path)
    assert load_dataset("fer2013-study-leaky").balance == load_dataset("fer2013-study").balance


def test_fer2013(tmp_path: Path) -> None:
    trees.fer2013(tmp_path)
    found = whole(items_of("fer2013", tmp_path))
    assert [said["label"] for said in found.values()] == [
        *("anger", "disgust", "fear", "happy", "sad", "surprise", "neutral")
    ]
    assert [said["published_split"] for said in found.values()] == ["train"] * 3 + ["val"] * 2 + ["test"] * 2
    assert list(found) == [f"fer2013.csv[{row}]" for row in range(7)]


def test_ferplus(tmp_path: Path) -> None:
    trees.ferplus(tmp_path)
    found = whole(items_of("ferplus", tmp_path))
    labels = ["neutral", "neutral", None, None, None, "happy", "contempt"]
    assert [said.get("label") for said in found.values()] == labels
    assert [said["published_split"] for said in found.values()] == ["train"] * 3 + ["val"] * 2 + ["test"] * 2


def test_affectnet(tmp_path: Path) -> None:
    trees.affectnet(tmp_path)
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


def test_affectnet_crops(tmp_path: Path) -> None:
    trees.affectnet_crops(tmp_path)
    assert whole(items_of("affectnet-crops", tmp_path)) == {
        "train_set/images/0.jpg": {
            "label": "surprise",
            "valence": 0.5,
            "arousal": -0.25,
            "published_split": "train",
        },
        "val_set/images/7.jpg": {"label": "contempt", "valence": -0.75, "published_split": "val"},
    }


def test_raf_db(tmp_path: Path) -> None:
    trees.raf_db(tmp_path)
    found = whole(items_of("raf-db", tmp_path))
    expected = ["surprise", "fear", "disgust", "happy", "sad", "anger", "neutral"]
    assert found == {
        f"Image/aligned/train_{n:05d}_aligned.jpg": {"label": label, "published_split": "train"}
        for n, label in enumerate(expected, 1)
    } | {"Image/aligned/test_0001_aligned.jpg": {"label": "happy", "published_split": "test"}}


def test_kdef(tmp_path: Path) -> None:
    trees.kdef(tmp_path)
    found = whole(items_of("kdef", tmp_path))
    assert len(found) == 22
    for code, label in trees.KDEF_CODES.items():
        for angle in ("S", "HL", "FR"):
            assert found[f"KDEF_and_AKDEF/KDEF/AF01/AF01{code}{angle}.JPG"] == {"label": label, "subject": "F01"}
    assert found["KDEF_and_AKDEF/KDEF/BM35/BM35AFHR.JPG"] == {"label": "fear", "subject": "M35"}


def test_akdef(tmp_path: Path) -> None:
    trees.akdef(tmp_path)
    found = whole(items_of("akdef", tmp_path))
    assert found == {
        f"KDEF_and_AKDEF/AKDEF/{sex}{code}{angle}.JPG": {"label": label, "subject": sex}
        for sex in "FM"
        for code, label in trees.KDEF_CODES.items()
        for angle in ("FL", "S")
    }


def test_lfw_sun(tmp_path: Path) -> None:
    trees.lfw_sun(tmp_path)
    items = items_of("lfw-sun", tmp_path)
    assert whole(items) == {
        "lfw/Aaron_Eckhart/Aaron_Eckhart_0001.jpg": {"label": "face", "subject": "Aaron_Eckhart"},
        "SUN397/a/abbey/sun_aaalbzqrimafwbiv.jpg": {},
    }
    assert [item.background is not None for item in items.values()] == [False, True]


def test_ck(tmp_path: Path) -> None:
    trees.ck(tmp_path)
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


def test_disfa(tmp_path: Path, clips: Path) -> None:
    trees.disfa(tmp_path, clips)
    (item,) = items_of("disfa", tmp_path).values()
    assert item.labels.whole == {"subject": "SN001"}
    assert [item.labels.at(frame, None)["au_12"] for frame in range(6)] == [0, 0, 1, 1, 1, 1]
    assert item.labels.at(3, None)["au_25"] == 0
    assert len(item.labels.at(0, None)) == 13
    assert "au_12" not in item.labels.at(6, None)


def test_bp4d(tmp_path: Path, capsys) -> None:
    trees.bp4d(tmp_path)
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


@pytest.mark.parametrize(
    ("name", "first", "third"),
    [
        ("aff-wild2", {"label": "neutral"}, {"label": "happy"}),
        ("aff-wild2-va", {"valence": -1.0, "arousal": 0.5}, {"valence": 0.25, "arousal": 0.1}),
        ("aff-wild2-au", {"au_7": 1.0, "au_25": 1.0}, {}),
    ],
)
def test_aff_wild2(name: str, first: dict, third: dict, tmp_path: Path, clips: Path, capsys) -> None:
    trees.aff_wild2(tmp_path, clips)
    items = items_of(name, tmp_path)
    parts = {"batch1/1-30-1280x720.mp4": "train", "batch2/5-60-1920x1080-1.mp4": "val"}
    assert {source: item.labels.whole["published_split"] for source, item in items.items()} == parts
    for item in items.values():
        for frame, wanted in enumerate((first, {}, third)):
            known = item.labels.at(frame, None)
            assert {name: value for name, value in known.items() if value not in (0.0, "train", "val")} == wanted
        assert item.labels.at(9, None).keys() == {"published_split"}
    assert "1 of 3 videos are left out" in capsys.readouterr().err


def test_expw(tmp_path: Path) -> None:
    trees.expw(tmp_path)
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
