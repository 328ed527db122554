import os
from pathlib import Path

import dlib
import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image

from align import DlibFaceResNet, ModelError, UsageError, find_model
from train.backbones import BackboneSpec, create_backbone

MODEL_FILE = DlibFaceResNet.model_file
SHARED = Path(os.environ.get("EYELINE_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))


@pytest.fixture(scope="module")
def backbone():
    return create_backbone(BackboneSpec("dlib_face_resnet")).eval()


@pytest.fixture(scope="module")
def data():
    return find_model(MODEL_FILE).read_bytes()


@pytest.fixture(scope="module")
def reference():
    return dlib.face_recognition_model_v1(str(find_model(MODEL_FILE)))


def greatest_difference(backbone, reference, chips):
    expected = np.stack([np.array(reference.compute_face_descriptor(np.ascontiguousarray(chip))) for chip in chips])
    images = torch.from_numpy(np.stack(chips)).permute(0, 3, 1, 2)
    with torch.no_grad():
        found = backbone(images).numpy()
    assert np.abs(expected).max() > 0.1  # the descriptors say something
    return np.abs(found - expected).max()


def test_equals_dlib_on_a_face_and_on_noise(backbone, reference):
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 256, (150, 150, 3), dtype=np.uint8) for _ in range(3)]
    chips = [skimage.data.astronaut()[25:175, 150:300], *noise, np.full((150, 150, 3), 255, np.uint8)]
    assert greatest_difference(backbone, reference, chips) < 5e-6


def test_equals_dlib_on_photos(backbone, reference):
    photos = sorted((SHARED / "faces" / "london").glob("*_08.jpg"))[:4]
    if not photos:
        pytest.skip("no test photos: set EYELINE_TEST_DATA")
    chips = [np.asarray(Image.open(photo).convert("RGB").resize((150, 150))) for photo in photos]
    assert greatest_difference(backbone, reference, chips) < 5e-6


def test_the_whole_network_has_128_features_of_150_px_pictures(backbone):
    assert sum(p.numel() for p in backbone.parameters()) == 5_614_592
    assert backbone.features == 128
    assert backbone.preprocess.size_px == 150


def test_a_stage_is_the_whole_network_up_to_there(backbone):
    seen = []
    handle = backbone.net.blocks[9].register_forward_hook(lambda *hook: seen.append(hook[2].mean((2, 3))))
    images = torch.randint(0, 256, (2, 3, 150, 150), dtype=torch.uint8)
    cut = create_backbone(BackboneSpec("dlib_face_resnet", stage=3)).eval()
    with torch.no_grad():
        backbone(images)
        assert torch.equal(cut(images), seen[0])
    handle.remove()
    assert cut.features == 128
    assert len(cut.net.blocks) == 10


@pytest.mark.parametrize("stage", [0, 6])
def test_a_stage_that_is_not_there_is_refused(stage):
    with pytest.raises(UsageError, match="stage must be 1 to 5"):
        create_backbone(BackboneSpec("dlib_face_resnet", stage=stage))


def test_random_weights_on_request():
    fresh = create_backbone(BackboneSpec("dlib_face_resnet", weights="none"))
    assert not fresh.pretrained
    assert torch.equal(fresh.net.affine.weight, torch.ones(32))


def test_a_changed_byte_is_refused(data, tmp_path, monkeypatch):
    changed = bytearray(data)
    changed[1_000_000] ^= 1
    (tmp_path / MODEL_FILE).write_bytes(bytes(changed))
    monkeypatch.setenv("EYELINE_MODELS", str(tmp_path))
    with pytest.raises(ModelError, match="sha256"):
        create_backbone(BackboneSpec("dlib_face_resnet"))
