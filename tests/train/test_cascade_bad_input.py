"""What `eyeline-train cascade` refuses, each in one sentence."""

import pytest

from curate import read_manifest
from curate.manifest import write_curation, write_manifest
from train.tasks import Tasks

from .cascade_cases import FACES, ROWS, cascade, checkpoint, mixed_set, without_numbers
from .test_cli import one_sentence


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return mixed_set(tmp_path_factory.mktemp("mixed"), {"val": ROWS, "test": ROWS})


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("networks")
    return checkpoint(folder / "f.ckpt", FACES), checkpoint(folder / "e.ckpt", Tasks(["joy", "sad"]))


def refused(capsys, networks, root, *flags, code=2):
    assert cascade(networks, root, *flags) == code
    return one_sentence(capsys)


# checkpoints


def test_a_checkpoint_without_classes_is_refused(networks, root, tmp_path, capsys):
    affect = checkpoint(tmp_path / "affect.ckpt", Tasks(affect=True))
    found = refused(capsys, (networks[0], affect), root, code=1)
    assert f"--emotion {affect}: expected a network that tells classes (found one of affect alone)" in found
    assert "--face" in refused(capsys, (affect, networks[1]), root, code=1)


def test_one_checkpoint_given_twice_is_refused(networks, root, capsys):
    face, emotion = networks
    assert "--face and --emotion: expected two" in refused(capsys, (face, face), root)
    found = refused(capsys, networks, root, "--improved_emotion", emotion)
    assert "--emotion and --improved_emotion: expected two checkpoints" in found


def test_networks_in_the_wrong_order_are_refused(networks, root, capsys):
    found = refused(capsys, networks[::-1], root)
    assert f"found 'face' among the classes of --emotion {networks[0]}" in found
    assert "give them the other way round" in found


def test_a_checkpoint_that_is_not_there_or_none_is_refused(networks, root, tmp_path, capsys):
    assert "--face: expected a checkpoint at" in refused(capsys, (tmp_path / "no.ckpt", networks[1]), root)
    broken = tmp_path / "broken.ckpt"
    broken.write_bytes(b"no checkpoint")
    assert "expected a checkpoint of eyeline-train" in refused(capsys, (networks[0], broken), root, code=1)
    assert "expected a set's manifest" in refused(capsys, networks, tmp_path)


@pytest.mark.parametrize(
    ("classes", "flags", "offered"),
    [
        (["face", "not_face", "bored"], [], "one of ['face', 'bored'] (got none)"),
        (["not_face", "face"], ["--face_label", "person"], "one of ['face'] (got 'person')"),
        (["not_face", "face"], ["--face_label", "not_face"], "one of ['face'] (got 'not_face')"),
    ],
)
def test_the_class_that_passes_must_be_clear(networks, root, tmp_path, capsys, classes, flags, offered):  # noqa: PLR0917
    odd = checkpoint(tmp_path / "odd.ckpt", Tasks(classes))
    found = refused(capsys, (odd, networks[1]), root, *flags)
    assert "--face_label: expected the class" in found
    assert offered in found


@pytest.mark.parametrize("classes", [["joy", "face"], ["joy", "sad", "not_face"]])
def test_a_class_of_both_networks_is_refused(networks, root, tmp_path, capsys, classes):
    both = checkpoint(tmp_path / "both.ckpt", Tasks(classes))
    assert f"expected emotions alone (found ['{classes[-1]}']" in refused(capsys, (networks[0], both), root)


def test_an_improved_network_of_other_classes_is_refused(networks, root, tmp_path, capsys):
    other = checkpoint(tmp_path / "other.ckpt", Tasks(["joy", "calm"]))
    found = refused(capsys, networks, root, "--improved_emotion", other)
    assert "expected the classes of" in found
    assert "(found ['joy', 'calm'])" in found


def test_a_network_whose_outputs_are_no_numbers_is_refused(networks, root, tmp_path, capsys):
    broken = without_numbers(networks[0], tmp_path / "nan.ckpt")
    assert cascade((broken, networks[1]), root) == 1
    assert "NaN or infinite ones in 18 of 18 rows" in capsys.readouterr().err.splitlines()[-1]


# sets


@pytest.mark.parametrize("label", ["not_face", "joy"])
def test_a_split_of_one_kind_is_refused_before_any_network_runs(networks, root, tmp_path, capsys, label):
    rows = read_manifest(root)
    write_manifest(tmp_path, rows[rows["label"] == label].reset_index(drop=True))
    write_curation(tmp_path, {})
    found = refused(capsys, networks, tmp_path, code=1)  # its crops are not there
    assert f"(found {ROWS[label]} '{label}'); choose another --split" in found


def test_the_split_of_the_threshold_is_called_so(networks, root, tmp_path, capsys):
    rows = read_manifest(root)
    write_manifest(tmp_path, rows[(rows["split"] == "test") | (rows["label"] == "joy")].reset_index(drop=True))
    write_curation(tmp_path, {})
    found = refused(capsys, networks, tmp_path, "--threshold", "val", code=1)
    assert "expected val rows that are not a face" in found
    assert "(found 6 'joy'); choose another --threshold" in found


def test_a_lost_crop_and_an_empty_split_are_one_sentence(networks, root, tmp_path, capsys):
    write_manifest(tmp_path, read_manifest(root))
    write_curation(tmp_path, {})
    assert cascade(networks, tmp_path) == 1
    assert "expected a crop that the manifest lists" in capsys.readouterr().err.splitlines()[-1]
    assert "expected train rows" in refused(capsys, networks, root, "--predictions", "--split", "train", code=1)


# flags


def test_predictions_are_of_one_pair_and_take_a_number(networks, root, capsys):
    found = refused(capsys, networks, root, "--predictions", "--improved_face", networks[0])
    assert "expected --face and --emotion alone" in found
    assert "expected a number as --threshold" in refused(capsys, networks, root, "--predictions", "--threshold", "val")
    assert "must be a probability" in refused(capsys, networks, root, "--threshold", "2")


@pytest.mark.parametrize("below", ["", "further/down"])
def test_a_file_where_the_results_should_lie_is_said_before_any_network_runs(networks, tmp_path, capsys, below):
    (tmp_path / "file").write_text("")
    found = refused(capsys, networks, tmp_path / "no set", "--out", tmp_path / "file" / below)
    assert f"expected a folder, or a place for one (found the file {tmp_path / 'file'})" in found


@pytest.mark.parametrize("flags", [("--seed", "-1"), ("--batch_size", "0"), ("--split", "None of them")])
def test_values_that_no_run_can_have_are_wrong_usage(networks, root, capsys, flags):
    with pytest.raises(SystemExit) as ended:
        cascade(networks, root, *flags)
    assert ended.value.code == 2
    assert flags[0].removeprefix("--") in capsys.readouterr().err
