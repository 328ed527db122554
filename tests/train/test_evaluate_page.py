"""The page and the file of numbers of an evaluation, of splits that no model was needed for."""

import json
import re
import time

import numpy as np
import pytest

from curate import read_manifest
from curate.manifest import read_curation, write_curation, write_manifest
from tests.curate.report_sets import HOSTILE, Page
from tests.train.evaluations import evaluated, make_rich_set, part_of, parts_of_set, rows_of
from tests.train.outcomes import CLASSES, one_hot, outcome_of
from train.evaluate import Part, make_report, render, write_report
from train.evaluate.calibration import temperature_of
from train.evaluate.drawings import chart
from train.evaluate.leaks import find_leaks
from train.metrics import fit_temperature
from train.tasks import Tasks


def clean(rows):
    """Give each row a source and a person of its own side."""
    rows["subject"] = [f"{split} person {i % 6}" for i, split in enumerate(rows["split"])]
    return rows


def written(root, rows, splits=("val", "test"), run_folder=None):
    """Write a set and its report; gives the page and the record."""
    write_manifest(root, rows)
    tasks, parts = parts_of_set(root, splits)
    report = make_report(evaluated(root, *parts, tasks=tasks), run_folder)
    write_report(report, render, root / "out")
    return Page(root / "out" / "report.html"), json.loads((root / "out" / "report.json").read_text())


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A report of a set without leaks: the page, the record, the set."""
    root = tmp_path_factory.mktemp("sound")
    return *written(root, clean(make_rich_set(root))), root


def test_the_page_has_a_section_for_each_task(sound):
    page, _, _ = sound
    tasks = {"classes", "calibration", "affect", "units"}
    assert page.sections() == tasks | {"leaks", "summary", "curves", "mistakes", "subjects", "sources", "making"}


def test_the_page_needs_nothing_from_outside(sound):
    page, _, _ = sound
    assert "script" not in page.tags
    addresses = [value for _, name, value in page.attributes if name in ("src", "href")]
    assert addresses
    assert all(value.startswith(("data:image/webp;base64,", "#")) for value in addresses)
    assert "url(" not in page.source
    assert "@import" not in page.source
    policy = [value for tag, name, value in page.attributes if (tag, name) == ("meta", "content")]
    assert any("default-src 'none'" in value for value in policy)


def test_every_link_of_the_page_has_its_section(sound):
    page, _, _ = sound
    links = {value[1:] for tag, name, value in page.attributes if (tag, name) == ("a", "href")}
    assert links <= page.sections()


def test_the_page_shows_the_record(sound):
    page, record, _ = sound
    for column, split in enumerate(("val", "test"), 1):
        numbers = record["splits"][split]
        assert page.row("F1, mean over classes")[0][column].startswith(f"{numbers['f1_macro']:.3f}")
        low, high = numbers["intervals"]["numbers"]["f1_macro"]
        assert page.row("F1, mean over classes")[0][column].endswith(f"{low:.3f} to {high:.3f}")
        assert low <= numbers["f1_macro"] <= high
        confusion = np.array(numbers["confusion"])
        assert confusion.sum() == 24
        cells = page.row("face")[2 * (column - 1)][1:]
        assert [int(re.match(r"\d+", cell)[0]) for cell in cells] == confusion[1].tolist()


def test_the_same_set_gives_the_same_bytes(sound, tmp_path):
    page, _, root = sound
    tasks, parts = parts_of_set(root)
    files = write_report(make_report(evaluated(root, *parts, tasks=tasks), None), render, tmp_path)
    assert Page(tmp_path / "report.html").source == page.source
    assert (tmp_path / "report.json").read_bytes() == (root / "out" / "report.json").read_bytes()
    assert sorted(files) == ["report.html", "report.json"]


def test_no_leak_is_said_where_there_is_none(sound):
    page, record, _ = sound
    assert "No leak found" in page.text
    assert not [leak for leak in record["leaks"] if leak["level"] == "failed"]


def test_temperature_and_thresholds_come_from_validation_alone(tmp_path):
    root = tmp_path / "set"
    rows = clean(make_rich_set(root))
    _, record = written(root, rows)
    tasks, parts = parts_of_set(root)
    assert record["temperature"]["value"] == fit_temperature(parts[0].outcome, tasks)
    assert record["temperature"]["value"] != fit_temperature(parts[1].outcome, tasks)
    val, test = (record["splits"][split] for split in ("val", "test"))
    assert val["calibration"]["fitted_on_these_rows"]
    assert not test["calibration"]["fitted_on_these_rows"]
    assert val["calibration"]["after"]["nll"] < val["calibration"]["before"]["nll"]
    thresholds = [[score["threshold"] for score in split["units_tuned"]] for split in (val, test)]
    assert thresholds[0] == thresholds[1] == [record["thresholds"][name] for name in tasks.units]


def test_without_validation_nothing_is_fitted_and_the_page_says_so(tmp_path):
    page, record = written(tmp_path, clean(make_rich_set(tmp_path)), splits=("test",))
    assert record["temperature"]["value"] is None
    assert record["thresholds"] is None
    assert record["splits"]["test"]["calibration"]["after"] is None
    assert record["splits"]["test"]["units_tuned"] == []
    assert "Not fitted: the validation split is not part of this report" in page.text
    assert "No thresholds were tuned" in page.text
    assert "After, temperature" not in page.text


def test_validation_alone_says_that_it_was_fitted_on_itself(tmp_path):
    page, _ = written(tmp_path, clean(make_rich_set(tmp_path)), splits=("val",))
    assert "fitted on these same faces" in page.text
    assert "read them as what was fitted" in page.text


def test_leaks_stand_before_any_number(tmp_path):
    rows = make_rich_set(tmp_path)
    rows["source"] = [f"clip {i % 7}.mp4" for i in range(len(rows))]
    page, record = written(tmp_path, rows)
    failed = [leak["text"] for leak in record["leaks"] if leak["level"] == "failed"]
    assert failed == ["Leak: 7 sources stand on two sides.", "Leak: 6 subjects stand on two sides."]
    for text in failed:
        assert page.source.index(text) < page.source.index('class="facts')
    assert "2 leak checks failed" in page.text


def test_people_on_two_sides_are_a_leak_where_the_set_was_split_by_source(tmp_path):
    rows = make_rich_set(tmp_path)
    write_manifest(tmp_path, rows)
    record = read_curation(tmp_path)
    write_curation(tmp_path, {**record, "split": {"by": "source"}})
    texts = [check.text for check in find_leaks(tmp_path, ("test",), None) if check.level == "failed"]
    assert texts == ["Leak: 6 subjects stand on two sides."]


def run_trained_on(folder, root):
    (folder / "fit").mkdir(parents=True)
    (folder / "fit" / "config.yaml").write_text(f"data:\n  root: {root}\n")
    return folder


def test_copies_in_the_training_set_are_found_where_it_is_another(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    rows = clean(make_rich_set(one))
    rows["hash"] = [bytes([i]) * 32 for i in range(len(rows))]
    rows["hash_kind"] = "phash256/1"
    rows[["sharpness", "brightness", "contrast"]] = 1.0
    write_manifest(one, rows)
    write_curation(one, {**read_curation(one), "dedup": {"radius": 10}})
    training = clean(make_rich_set(other))
    training["hash"] = [bytes([200 - i]) * 32 for i in range(len(rows))]
    training.loc[training.index[0], "hash"] = rows["hash"].iloc[-1]
    training.loc[training.index[10], "hash"] = rows["hash"].iloc[-2]  # in its validation part, not trained on
    training["hash_kind"] = "phash256/1"
    training[["sharpness", "brightness", "contrast"]] = 1.0
    training["source"] = [f"other {i}.mp4" for i in range(len(rows))]
    training["face_id"] = [f"other-{i}" for i in range(len(rows))]
    write_manifest(other, training)
    run = run_trained_on(tmp_path / "run", other)
    failed = [check for check in find_leaks(one, ("val", "test"), run) if check.level == "failed"]
    assert [check.text for check in failed] == [
        f"Against the training set {other}: Leak: 1 exact copy across sides (10 bits)."
    ]
    assert not [check for check in find_leaks(one, ("val",), run) if check.level == "failed"]
    training["subject"] = rows["subject"].iloc[-1]
    write_manifest(other, training)
    warned = [check.text for check in find_leaks(one, ("test",), run) if check.level == "warning"]
    assert len(warned) == 1
    assert warned[0].endswith("Leak: 1 subject stands on two sides. Names of two sets need not mean one person.")


def test_a_training_set_that_is_gone_is_a_warning(tmp_path):
    rows = clean(make_rich_set(tmp_path / "set"))
    write_manifest(tmp_path / "set", rows)
    run = run_trained_on(tmp_path / "run", tmp_path / "gone")
    checks = find_leaks(tmp_path / "set", ("test",), run)
    assert [check.level for check in checks if "leaks were not looked for" in check.text] == ["warning"]
    same = run_trained_on(tmp_path / "other", tmp_path / "set")
    assert not [check for check in find_leaks(tmp_path / "set", ("test",), same) if "training set" in check.text]


@pytest.mark.parametrize("config", ["data: [", "data: 3", "- 1", "data:\n  root: [a]"])
def test_a_configuration_that_cannot_be_read_is_said(tmp_path, config):
    write_manifest(tmp_path, clean(make_rich_set(tmp_path)))
    (tmp_path / "fit").mkdir()
    (tmp_path / "fit" / "config.yaml").write_text(config)
    assert "No configuration that can be read" in find_leaks(tmp_path, ("test",), tmp_path)[-1].text


def test_hostile_names_show_as_text(tmp_path):
    rows = clean(make_rich_set(tmp_path))
    names = [*HOSTILE, "x" * 3000]
    rows["source"] = [f"{names[i % len(names)]}{split}" for i, split in enumerate(rows["split"])]
    rows["subject"] = [f"{names[i % len(names)]}{split}" for i, split in enumerate(rows["split"])]
    labels = ["<img src=x onerror=alert(1)>", '"><script>'][::-1]
    rows["label"] = rows["label"].map({"face": labels[0], "not_face": labels[1]})
    write_curation(tmp_path, {**read_curation(tmp_path), "labels": labels})
    page, record = written(tmp_path, rows)
    assert not {"script", "b onmouseover"} & set(page.tags)
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    assert set(page.pictures()) == {value for value in page.pictures() if value.startswith("data:image/webp")}
    assert page.row(labels[0])
    assert "<script>alert(1)</script>.mp4" in page.text
    assert "\u202e" not in page.text
    assert "x" * 200 not in page.text
    assert {score["name"] for score in record["splits"]["val"]["classes"]} == set(labels)


def test_a_vanished_crop_is_said_and_the_rest_goes_on(tmp_path):
    rows = clean(make_rich_set(tmp_path))
    page, record = written(tmp_path, rows)
    worst = record["splits"]["test"]["mistakes"][0]["worst"][0]
    assert "no picture" not in page.text
    (tmp_path / worst["crop"]).unlink()
    page, again = written(tmp_path, rows)
    assert "1 crop to be shown here could not be read" in page.text
    assert worst["crop"] in page.text
    assert any("no picture" in tile and worst["truth"] in tile for tile in page.tiles)
    assert again == record


def test_a_class_without_rows_is_said(tmp_path):
    rows = clean(make_rich_set(tmp_path))
    rows = rows[(rows["split"] != "test") | (rows["label"] == "face")].reset_index(drop=True)
    page, record = written(tmp_path, rows)
    assert record["splits"]["test"]["absent_classes"] == ["not_face"]
    assert "No face of this split is not_face" in page.text
    assert page.row("not_face")[-1][1] == "0"
    assert page.row("not_face")[-1][3:5] == ["\u2013"] * 2  # neither recall nor F1


def test_a_set_without_people_is_drawn_by_source(tmp_path):
    rows = make_rich_set(tmp_path, subject=None)
    page, record = written(tmp_path, rows)
    assert record["splits"]["val"]["intervals"]["over"] == "24 sources"
    assert record["splits"]["val"]["by_subject"] is None
    assert "No face of this split has a known subject" in page.text


def test_a_split_without_labels_of_a_task_is_said(tmp_path):
    rows = clean(make_rich_set(tmp_path))
    rows.loc[rows["split"] == "test", ["valence", "arousal", "label"]] = None
    page, record = written(tmp_path, rows)
    test = record["splits"]["test"]
    assert test["affect"][0]["rows"] == 0
    assert test["calibration"] is None
    assert {mistakes["task"] for mistakes in test["mistakes"]} == {"units"}
    assert "No face of this split has a class" in page.text
    assert "No face of this split has valence or arousal" in page.text


def test_validation_without_classes_leaves_the_temperature_unfitted():
    outcome = outcome_of(np.zeros((3, 4)), np.full((3, 4), np.nan))
    found = temperature_of((Part("val", rows_of(3), outcome, 0.0),), Tasks(CLASSES))
    assert found.value is None
    assert "no face of the validation split has a class" in found.note
    assert "no classes" in temperature_of((part_of(3),), Tasks(affect=True)).note


def test_a_temperature_that_the_faces_do_not_bound_is_said():
    outcome = outcome_of([[3, 0, 0, 0], [0, 3, 0, 0]], one_hot([0, 1], 4))
    assert "do not bound it" in temperature_of((Part("val", rows_of(2), outcome, 0.0),), Tasks(CLASSES)).note


def test_curves_of_the_run_are_drawn(tmp_path):
    root, run = tmp_path / "set", tmp_path / "run"
    (run / "fit").mkdir(parents=True)
    lines = ["epoch,step,train/loss,val/loss,val/f1_macro,lr-SGD"]
    lines += [f"{e},{10 * e + 9},{2 / (e + 1)},{3 / (e + 1)},{0.1 * e},{0.01}" for e in range(5)]
    (run / "fit" / "metrics.csv").write_text("\n".join(lines))
    page, record = written(root, clean(make_rich_set(root)), run_folder=run)
    assert record["curves"]["checkpoint_epoch"] == 3
    titles = [value for tag, name, value in page.attributes if (tag, name) == ("svg", "aria-label")]
    assert sum("over the epochs" in title for title in titles) == 3
    assert "train/loss 0.4" in page.text


def test_a_chart_keeps_to_its_frame_and_bridges_gaps():
    series = {"train/loss": [3.0, None, 1.0], "val/loss": [None, None, None]}
    drawn = chart("Loss", list(series), {"epochs": [4, 5, 6], "series": series, "checkpoint_epoch": 5})
    assert [curve.name for curve in drawn.curves] == ["train/loss"]
    assert drawn.curves[0].path == "M40.0 10.0L312.0 172.0"
    assert drawn.mark_x == 176.0
    flat = chart("Loss", ["a"], {"epochs": [0], "series": {"a": [0.0]}, "checkpoint_epoch": None})
    assert flat.curves[0].path == "M40.0 91.0"


def test_many_classes_list_the_commonest_confusions(tmp_path):
    names = [f"class {i}" for i in range(40)]
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 40, 600)
    outcome = outcome_of(
        one_hot(truth.tolist(), 40).numpy() + rng.normal(0, 0.5, (600, 40)), one_hot(truth.tolist(), 40)
    )
    write_manifest(tmp_path, clean(make_rich_set(tmp_path)))
    part = Part("test", rows_of(600, root=tmp_path), outcome, 1.0)
    report = make_report(evaluated(tmp_path, part, tasks=Tasks(names)), None)
    write_report(report, render, tmp_path / "out")
    assert "The commonest confusions of 40 classes" in Page(tmp_path / "out" / "report.html").text


def test_a_hundred_thousand_faces_make_a_light_page_in_little_time(tmp_path):
    write_manifest(tmp_path, clean(make_rich_set(tmp_path)))
    count = 100_000
    subjects, sources = ([f"{kind} {i % groups}" for i in range(count)] for kind, groups in (("p", 3000), ("s", 40000)))
    part = part_of(count, "test", subjects=subjects, sources=sources, root=tmp_path)
    started = time.process_time()
    report = make_report(evaluated(tmp_path, part), None)
    write_report(report, render, tmp_path / "out")
    assert time.process_time() - started < 20
    assert (tmp_path / "out" / "report.html").stat().st_size < 200_000
    assert (tmp_path / "out" / "report.json").stat().st_size < 200_000
    assert report.record["splits"]["test"]["by_source"]["groups"] == 40000


def test_the_manifest_is_left_as_it_was(sound):
    _, _, root = sound
    assert len(read_manifest(root)) == 52
