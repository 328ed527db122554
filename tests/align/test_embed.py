"""Descriptors of faces: dlib's network rebuilt in torch, the chip it is given, and the file that holds its weights."""

from pathlib import Path

import cv2
import dlib
import numpy as np
import pytest
import torch

import align
from align import DlibFaceResNet, ModelError, UsageError, cut_chip, find_model, open_embedder
from align.embedders.dlib_format import read_layers
from align.embedders.dlib_network import load_layers

MODEL_FILE = DlibFaceResNet.model_file


@pytest.fixture(scope="module")
def data() -> bytes:
    return find_model(MODEL_FILE).read_bytes()


@pytest.fixture(scope="module")
def reference():
    return dlib.face_recognition_model_v1(str(find_model(MODEL_FILE)))


@pytest.fixture(scope="module")
def face(astronaut: np.ndarray) -> align.Face:
    return align.find_faces(astronaut)[0]


@pytest.fixture(scope="module")
def chip(astronaut: np.ndarray, face: align.Face) -> np.ndarray:
    return cut_chip(astronaut, face.landmarks, face.landmark_scheme)


def test_the_chip_is_dlibs_own_but_for_how_it_is_sampled(astronaut: np.ndarray, face: align.Face, reference) -> None:
    points = np.round(face.landmarks)
    parts = [dlib.point(int(x), int(y)) for x, y in points]
    theirs = dlib.get_face_chip(astronaut, dlib.full_object_detection(dlib.rectangle(0, 0, 9, 9), parts), 150, 0.25)
    ours = cut_chip(astronaut, points, "dlib5")
    assert np.abs(ours.astype(int) - theirs).mean() < 2.5
    for shifted in (np.roll(ours, 1, axis=0), np.roll(ours, 1, axis=1)):
        assert np.abs(shifted.astype(int) - theirs).mean() > 5
    found = open_embedder().embed(np.stack([ours, theirs]))
    assert np.linalg.norm(found[0] - found[1]) < 0.1
    assert np.abs(found[1] - np.array(reference.compute_face_descriptor(theirs))).max() < 1e-6


@pytest.mark.parametrize("template", ["tight", "arcface", "ffhq"])
def test_a_chip_from_a_crop_says_the_same_as_one_from_the_photo(astronaut, face, chip, template) -> None:
    crop = align.align_face(astronaut, face, align.CropSpec(template, 224))
    again = cut_chip(crop.image, face.landmarks, face.landmark_scheme, crop.matrix)
    found = open_embedder().embed(np.stack([chip, again]))
    assert np.linalg.norm(found[0] - found[1]) < 0.2  # two photos of one person are 0.2 to 0.4 apart


def test_a_turned_and_enlarged_photo_gives_the_same_chip(astronaut, face, chip) -> None:
    matrix = cv2.getRotationMatrix2D((220.0, 130.0), 25, 1.5)
    turned = align.warp(astronaut, matrix, (700, 700))
    points = face.landmarks @ matrix[:, :2].T + matrix[:, 2]
    again = cut_chip(turned, points, "dlib5")
    assert np.abs(again.astype(int) - chip).mean() < 4
    found = open_embedder().embed(np.stack([chip, again]))
    assert np.linalg.norm(found[0] - found[1]) < 0.1


def test_a_descriptor_does_not_depend_on_its_company_nor_on_threads(chip: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    chips = np.concatenate([chip[None], rng.integers(0, 256, (36, 150, 150, 3), dtype=np.uint8)])
    embedder = open_embedder()
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        whole = embedder.embed(chips)
        torch.set_num_threads(1)
        order = rng.permutation(len(chips))
        assert (embedder.embed(chips[order]) == whole[order]).all()
        assert (embedder.embed(chips[:1]) == whole[:1]).all()
    finally:
        torch.set_num_threads(threads)
    assert whole.dtype == np.float32
    assert whole.shape == (37, 128)
    assert embedder.embed(chips[:0]).shape == (0, 128)


def test_wrong_chips_points_names_and_devices_are_refused_in_a_sentence(astronaut, face) -> None:
    with pytest.raises(UsageError, match=r"expected uint8 \[N, 150, 150, 3\] \(found float64 \[1, 150, 150, 3\]\)"):
        open_embedder().embed(np.zeros((1, 150, 150, 3)))
    with pytest.raises(UsageError, match=r"found uint8 \[1, 112, 112, 3\]"):
        open_embedder().embed(np.zeros((1, 112, 112, 3), np.uint8))
    with pytest.raises(UsageError, match=r"expected the points of one of .*got ibug68, \[5, 2\]"):
        cut_chip(astronaut, face.landmarks, "ibug68")
    with pytest.raises(UsageError, match="expected a face"):
        cut_chip(astronaut, np.ones((5, 2)), "dlib5")
    with pytest.raises(UsageError, match="did you mean dlib_resnet"):
        open_embedder("dlib-resnet")
    with pytest.raises(UsageError, match="got 'abacus'"):
        open_embedder("dlib_resnet", "abacus")


def test_a_network_opens_once_and_from_a_file_of_ones_own(tmp_path: Path) -> None:
    assert open_embedder() is open_embedder()
    with pytest.raises(ModelError, match="no such file"):
        open_embedder("dlib_resnet", "cpu", tmp_path / "gone.dat")


def test_the_file_holds_59_tensors_and_5614592_parameters(data: bytes) -> None:
    stored = [layer for layer in read_layers(data, MODEL_FILE) if layer.params.size]
    assert len(stored) == 59
    assert sum(layer.params.size for layer in stored) == 5_614_592
    assert sum(p.numel() for p in DlibFaceResNet().parameters()) == 5_614_592


@pytest.mark.parametrize("keep", [0, 1, 20, 340, 5000, 1_000_000, 22_466_065])
def test_a_file_that_is_cut_off_is_refused_in_one_sentence(data: bytes, keep: int, tmp_path: Path) -> None:
    (tmp_path / "part.dat").write_bytes(data[:keep])
    with pytest.raises(ModelError, match=r"part\.dat.*cut off or is not dlib's") as caught:
        DlibFaceResNet().load(tmp_path / "part.dat")
    assert "\n" not in str(caught.value)


def test_bytes_of_something_else_are_refused(data: bytes) -> None:
    with pytest.raises(ModelError, match="loss_metric_2"):
        list(read_layers(b"\x01\x01\x01\x04none" + data[20:], "other.dat"))
    with pytest.raises(ModelError):
        list(read_layers(np.random.default_rng(0).bytes(5000), "noise.dat"))


def test_layers_of_another_network_are_refused(data: bytes) -> None:
    layers = list(read_layers(data, MODEL_FILE))
    with pytest.raises(ModelError, match="59 layers"):
        load_layers(DlibFaceResNet(), layers[4:], "other.dat")
