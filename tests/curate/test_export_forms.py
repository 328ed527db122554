"""What is exported is read back by those it is for: torchvision, pandas, webdataset, datasets, FiftyOne."""

import gc
import hashlib
import json
import tarfile
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import curate
from align import EyelineError
from curate.config import Dataset, Sample, Source
from curate.export import Export, export_set
from curate.export.spec import Shards
from curate.manifest import write_curation, write_manifest
from curate.sources import open_item
from tests.curate.report_sets import face, make_set, picture, record_of
from tests.curate.source_kinds import items_of

LABELS = ["sad", "a/b", "..", "CON", "=1+1", "rare", "unlabelled"]


@pytest.fixture
def out(tmp_path):
    """40 faces with odd labels, sources and numbers, on three sides; their pictures differ."""
    made = []
    for n in range(40):
        side = "train" if n < 24 else "val" if n < 32 else "test"
        label = LABELS[n % 5] if side == "train" and n else None if n == 0 else LABELS[n % 2]
        made.append(face(n, split=side, label=label, repeat=1 + n % 3 if side == "train" else 1))
        made[-1] |= {"valence": n / 10 - 1 if n % 4 else None, "au_12": n % 2 if n % 5 else None, "au_2": 0.1}
    made[3] |= {"subject": '@anna, "the\r\nfirst"', "time_s": None, "frame": None}
    made[4] |= {"subject": "NA", "source": "../../größe 🙂,\r.mp4"}
    made[5] |= {"drop_reason": "duplicate", "duplicate_of": "f000004"}
    made[6] |= {"drop_reason": "duplicate", "duplicate_of": "f000004"}
    record = record_of(made, balance={"classes": []}, labels=[*LABELS])
    out = make_set(tmp_path / "set", made, record)
    for n in range(40):
        picture(n).save(out / made[n]["crop"])
    return out


def kept_of(out, side=None):
    rows = curate.read_manifest(out)
    rows = rows[rows["drop_reason"].isna()]
    return rows if side is None else rows[rows["split"] == side]


def digest(content):
    return hashlib.sha256(content).hexdigest()


def crops_of(out, rows):
    return {face_id: digest((out / crop).read_bytes()) for face_id, crop in zip(rows.face_id, rows.crop, strict=True)}


@pytest.mark.parametrize("link", [None, "copy", "hard", "symlink"])
def test_imagefolder_reads_every_face_under_its_class(link, out, tmp_path):
    from torchvision.datasets import ImageFolder

    found = export_set(Export(out, "folders", tmp_path / "x", link=link))
    labels = pd.read_csv(tmp_path / "x" / "classes.csv", keep_default_na=False).set_index("folder")["label"]
    classes = None
    for side in ("train", "val", "test"):
        read = ImageFolder(str(tmp_path / "x" / side), allow_empty=True)
        assert classes in (None, read.classes)  # the same numbers on every side
        classes = read.classes
        rows = kept_of(out, side).set_index("face_id")
        assert len(read) == len(rows)
        for path, target in read.samples:
            row = rows.loc[Path(path).stem]
            assert labels[read.classes[target]] == ("" if pd.isna(row["label"]) else row["label"])
            assert Path(path).read_bytes() == (out / row["crop"]).read_bytes()
    assert len(classes) == len(LABELS) + 1
    assert "unlabelled" in classes
    assert all(path.resolve().is_relative_to(tmp_path) for path in (tmp_path / "x").rglob("*"))
    assert "val has no face of" in " ".join(found.notes)
    counts = (found.details["linked"], found.details["copied"])
    assert counts == ((0, 38) if link == "copy" else (38, 0))
    one = next((tmp_path / "x" / "test").rglob("*.png"))
    assert one.is_symlink() == (link == "symlink")
    assert (one.stat().st_nlink > 1) == (link in (None, "hard"))


def test_folders_show_a_face_again_where_that_is_asked_for(out, tmp_path):
    export_set(Export(out, "folders", tmp_path / "x", repeat=True, splits=("train",)))
    files = [path.name.partition(".")[0] for path in (tmp_path / "x").rglob("*.png")]
    rows = kept_of(out, "train")
    assert sorted(files) == sorted(rows["face_id"].repeat(rows["repeat"].astype(int)))


def test_a_link_that_the_disk_refuses_is_named_and_without_the_option_a_copy_is_made(out, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr("pathlib.Path.hardlink_to", refuse)
    with pytest.raises(EyelineError, match=r"allows --link hard \(.*cross-device link\); take --link copy"):
        export_set(Export(out, "folders", tmp_path / "x", link="hard"))
    assert export_set(Export(out, "folders", tmp_path / "x")).details["copied"] == 38


def read_csv(path):
    return pd.read_csv(path, keep_default_na=False, na_values=[""])


@pytest.mark.parametrize("paths", ["relative", "absolute"])
def test_pandas_reads_back_what_the_manifest_holds(paths, out, tmp_path):
    found = export_set(Export(out, "csv", tmp_path / "deep" / "x", paths=paths))
    table = read_csv(tmp_path / "deep" / "x" / "faces.csv").set_index("face_id")
    rows = kept_of(out).set_index("face_id")
    assert table.index.tolist() == rows.sort_index().index.tolist()  # sides happen to follow the numbers
    rows = rows.loc[table.index]
    for name in ("split", "label", "subject", "source"):
        assert (
            table[name].astype(object).where(table[name].notna(), None).tolist()
            == rows[name].astype(object).where(rows[name].notna(), None).tolist()
        ), name
    for name in ("valence", "arousal", "au_2", "au_12"):
        np.testing.assert_array_equal(table[name].to_numpy(np.float32), rows[name].to_numpy(np.float32), name)
    for name in ("frame", "time_s", "repeat"):
        assert table[name].astype("Float64").equals(rows[name].astype("Float64")), name
    for path, crop in zip(table["path"], rows["crop"], strict=True):
        assert Path(path).is_absolute() == (paths == "absolute")
        assert (tmp_path / "deep" / "x" / path).resolve() == (out / crop).resolve()
    formulas = int(rows["label"].eq("=1+1").sum()) + 1
    (note,) = found.notes
    assert note.startswith(f"{formulas} cells of faces.csv begin with = + - or @, which a spreadsheet may run")
    assert "0.1" in (tmp_path / "deep" / "x" / "faces.csv").read_text().splitlines()[1].split(",")


def test_a_csv_has_a_line_a_showing_where_that_is_asked_for(out, tmp_path):
    export_set(Export(out, "csv", tmp_path / "x", repeat=True))
    table, rows = read_csv(tmp_path / "x" / "faces.csv"), kept_of(out)
    assert sorted(table["face_id"]) == sorted(rows["face_id"].repeat(rows["repeat"].astype(int)))
    assert (table["repeat"] == 1).all()


def samples_of(folder, side, shard=None):
    """What WebDataset reads of a side, or of one of its shards; it leaves it to Python to close them."""
    webdataset = pytest.importorskip("webdataset", reason="pip install webdataset")
    shards = json.loads((folder / "index.json").read_text())["splits"][side]["shards"]
    chosen = shards if shard is None else shards[shard : shard + 1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        samples = list(webdataset.WebDataset([str(folder / name) for name in chosen], shardshuffle=False))
        gc.collect()
    return samples


def test_webdataset_reads_back_crops_and_labels(out, tmp_path):
    export_set(Export(out, "webdataset", tmp_path / "x", shards=Shards(faces=10)))
    index = json.loads((tmp_path / "x" / "index.json").read_text())
    assert index["classes"] == LABELS
    assert index["splits"]["train"]["shards"] == [f"train-{n:06d}.tar" for n in range(3)]
    for side in ("train", "val", "test"):
        rows, samples = kept_of(out, side), samples_of(tmp_path / "x", side)
        assert {s["__key__"]: digest(s["png"]) for s in samples} == crops_of(out, rows)
        for sample in samples:
            row, told = rows.set_index("face_id").loc[sample["__key__"]], json.loads(sample["json"])
            assert told["label"] == (None if pd.isna(row["label"]) else row["label"])
            assert ("cls" in sample) == (told["label"] is not None)
            assert told["label"] is None or index["classes"][int(sample["cls"])] == told["label"]
            assert (told["split"], told["source"]) == (side, row["source"])
            assert told["au_12"] == (None if pd.isna(row["au_12"]) else row["au_12"])


def test_our_own_reader_takes_a_set_back_from_its_shards(out, tmp_path):
    export_set(Export(out, "webdataset", tmp_path / "x"))
    rows = kept_of(out)
    items = items_of(Source("tar", "x/*.tar"), tmp_path)
    assert len(items) == len(rows)
    by_id = {Path(item.source).stem: item for item in items}
    for row in rows.itertuples():
        known = dict(by_id[row.face_id].labels.whole)
        assert known.get("label") == (None if pd.isna(row.label) else row.label)
        assert known.get("published_split") == row.split
        assert known.get("au_12") == (None if pd.isna(row.au_12) else row.au_12)
    with open_item(by_id["f000007"], Sample()) as reader:
        np.testing.assert_array_equal(next(iter(reader)).rgb(), np.asarray(picture(7)))


def test_shards_are_cut_by_number_and_by_size_and_owned_by_nobody(out, tmp_path):
    size = max(path.stat().st_size for path in (out / "crops").iterdir())
    export_set(Export(out, "webdataset", tmp_path / "x", shards=Shards(faces=7)))
    lengths = {
        side: [len(samples_of(tmp_path / "x", side, shard)) for shard in range(count)]
        for side, count in (("train", 4), ("val", 2), ("test", 2))
    }
    assert lengths == {"train": [7, 7, 7, 1], "val": [7, 1], "test": [7, 1]}
    with tarfile.open(tmp_path / "x" / "train-000000.tar") as archive:
        for member in archive:
            assert (member.mtime, member.uid, member.gid, member.uname, member.gname) == (0, 0, 0, "", "")
    for number in range(40):  # each so large that a shard of 1 MB holds two
        with (out / "crops" / f"{number:06d}.png").open("ab") as file:
            file.write(bytes(400_000 - size))
    export_set(Export(out, "webdataset", tmp_path / "y", splits=("val",), shards=Shards(megabytes=1)))
    assert [path.stat().st_size < 10**6 for path in (tmp_path / "y").glob("*.tar")] == [True] * 4


def test_the_order_in_shards_is_shuffled_by_the_seed_or_sorted(out, tmp_path):
    def order(name, **shards):
        export_set(Export(out, "webdataset", tmp_path / name, splits=("train",), shards=Shards(**shards)))
        return [sample["__key__"] for sample in samples_of(tmp_path / name, "train")]

    ordered = order("sorted", order="sorted")
    assert ordered == sorted(kept_of(out, "train")["face_id"])
    first, second, again = order("a", seed=0), order("b", seed=1), order("c", seed=0)
    assert first == again
    assert first != second
    assert sorted(first) == sorted(second) == ordered != first


def test_shards_hold_a_face_again_where_that_is_asked_for(out, tmp_path):
    export_set(Export(out, "webdataset", tmp_path / "x", repeat=True))
    samples, rows = samples_of(tmp_path / "x", "train"), kept_of(out, "train")
    assert len({sample["__key__"] for sample in samples}) == len(samples)
    ids = [json.loads(sample["json"])["face_id"] for sample in samples]
    assert sorted(ids) == sorted(rows["face_id"].repeat(rows["repeat"].astype(int)))
    assert {json.loads(sample["json"])["repeat"] for sample in samples} == {1}


@pytest.fixture
def datasets(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    return pytest.importorskip("datasets", reason="pip install datasets")


def test_hugging_face_datasets_reads_pictures_class_names_and_sides_without_a_network(datasets, out, tmp_path):
    export_set(Export(out, "hf", tmp_path / "x", shards=Shards(faces=9)))
    assert sorted(path.name for path in (tmp_path / "x" / "data").iterdir())[1:4] == [
        "train-00000-of-00003.parquet", "train-00001-of-00003.parquet", "train-00002-of-00003.parquet",
    ]  # fmt: skip
    read = datasets.load_dataset(str(tmp_path / "x"), cache_dir=str(tmp_path / "cache"))
    assert set(read) == {"train", "validation", "test"}
    features = read["train"].features
    assert features["label"].names == LABELS
    for side, name in (("train", "train"), ("val", "validation"), ("test", "test")):
        rows = kept_of(out, side).set_index("face_id")
        assert sorted(read[name]["face_id"]) == sorted(rows.index)
        raw = read[name].cast_column("image", datasets.Image(decode=False))
        assert {one["face_id"]: digest(one["image"]["bytes"]) for one in raw} == crops_of(out, kept_of(out, side))
        for one in read[name]:
            row = rows.loc[one["face_id"]]
            assert (one["label"] is None) == pd.isna(row["label"])
            assert one["label"] is None or LABELS[one["label"]] == row["label"]
            assert one["valence"] == (None if pd.isna(row["valence"]) else row["valence"])
            assert one["subject"] == row["subject"]
    number = int(read["test"][0]["face_id"][1:])
    np.testing.assert_array_equal(np.asarray(read["test"][0]["image"]), np.asarray(picture(number)))


def test_a_set_of_action_units_alone_has_no_class_names(datasets, out, tmp_path):
    write_manifest(out, curate.read_manifest(out).assign(label=None))
    write_curation(out, {**curate.read_curation(out), "labels": []})
    export_set(Export(out, "hf", tmp_path / "x", repeat=True, splits=("train",)))
    read = datasets.load_dataset(str(tmp_path / "x"), cache_dir=str(tmp_path / "cache"))["train"]
    assert "label" not in read.features
    assert len(read) == kept_of(out, "train")["repeat"].sum()
    assert read[0]["au_2"] == np.float32(0.1)
    export_set(Export(out, "folders", tmp_path / "y"))
    assert {path.name for path in (tmp_path / "y" / "train").iterdir()} == {"unlabelled"}


def test_the_fiftyone_form_tells_tags_labels_and_duplicates(out, tmp_path):
    export_set(Export(out, "fiftyone", tmp_path / "x"))
    samples = json.loads((tmp_path / "x" / "samples.json").read_text())["samples"]
    rows = kept_of(out).set_index("face_id")
    assert [sample["face_id"] for sample in samples] == rows.index.tolist()
    for sample in samples:
        row = rows.loc[sample["face_id"]]
        assert sample["tags"] == [row["split"]]
        label = None if pd.isna(row["label"]) else {"_cls": "Classification", "label": row["label"]}
        assert sample["label"] == label
        assert (tmp_path / "x" / sample["filepath"]).read_bytes() == (out / row["crop"]).read_bytes()
    assert samples[4]["duplicates"] == ["f000005", "f000006"]
    assert samples[3]["duplicates"] == []
    fields = json.loads((tmp_path / "x" / "metadata.json").read_text())["sample_fields"]
    assert set(fields) == set(samples[0]) - {"filepath", "tags"}


def test_fiftyone_reads_its_form(out, tmp_path):
    fiftyone = pytest.importorskip("fiftyone", reason="pip install fiftyone; it needs a MongoDB that it starts itself")
    export_set(Export(out, "fiftyone", tmp_path / "x"))
    kind = fiftyone.types.FiftyOneDataset
    read = fiftyone.Dataset.from_dir(dataset_dir=str(tmp_path / "x"), dataset_type=kind)
    rows = kept_of(out)
    assert read.count_sample_tags() == rows["split"].value_counts().to_dict()
    assert read.count_values("label.label") == {
        None if pd.isna(k) else k: n for k, n in rows["label"].value_counts(dropna=False).items()
    }
    assert read.sum("repeat") == rows["repeat"].sum()
    assert read.match({"face_id": "f000004"}).first().duplicates == ["f000005", "f000006"]
    read.delete()


def test_a_whole_set_made_by_the_command_is_exported_in_every_form(made, tmp_path):
    """The set of real clips and photos, with crops of aligned faces."""
    for to in ("folders", "csv", "webdataset", "hf", "fiftyone"):
        found = export_set(Export(made, to, tmp_path / to))
        assert sum(side["faces"] for side in found.splits.values()) == len(kept_of(made))
    dataset = Dataset(source=Source("tar", "webdataset/*.tar"))
    assert len(items_of(dataset.sources[0], tmp_path)) == len(kept_of(made))
