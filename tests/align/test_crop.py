import cv2
import numpy as np
import pytest

import align
from align import TEMPLATES, Box, CropSpec, Eyes, Face, UsageError, align_face
from align.eyeline import invert, similarity, transform_points


@pytest.fixture(scope="module")
def face(astronaut: np.ndarray) -> Face:
    return align.find_faces(astronaut, landmarks="dlib68")[0]


@pytest.mark.parametrize("template", sorted(TEMPLATES))
@pytest.mark.parametrize("size", [8, 64, (96, 128), (300, 80)])
def test_the_eyes_stand_on_the_template_at_any_size(
    astronaut: np.ndarray, face: Face, template: str, size: int | tuple[int, int]
) -> None:
    spec = CropSpec(template, size)
    crop = align_face(astronaut, face, spec)
    width, height = spec.width_height
    assert crop.image.shape == (height, width, 3)
    assert crop.image.dtype == np.uint8
    assert np.allclose(crop.eyes.xy, spec.eyes_px, atol=1e-6)
    assert np.allclose((crop.eyes.xy + 0.5) / (width, height), TEMPLATES[template].eyes, atol=1e-6)
    assert crop.eyes.roll_deg == pytest.approx(0, abs=1e-6)
    assert np.allclose(transform_points(invert(crop.matrix), crop.eyes.xy), face.eyes.xy, atol=1e-6)


def test_a_grey_crop_has_one_channel_and_is_the_luma_of_the_coloured_one(astronaut: np.ndarray, face: Face) -> None:
    colour = align_face(astronaut, face, CropSpec(size=64)).image
    grey = align_face(astronaut, face, CropSpec(size=64, colour="grey")).image
    assert grey.shape == (64, 64)
    assert np.abs(grey.astype(int) - cv2.cvtColor(colour, cv2.COLOR_RGB2GRAY)).max() <= 1  # the rounding of the warp
    luma = cv2.cvtColor(astronaut, cv2.COLOR_RGB2GRAY)
    assert align_face(luma, face, CropSpec(size=64)).image.shape == (64, 64, 3)
    assert np.abs(align_face(luma, face, CropSpec(size=64, colour="grey")).image.astype(int) - grey).max() <= 1


@pytest.mark.parametrize("template", ["arcface", "ffhq"])
def test_five_points_are_brought_as_near_as_a_similarity_can(astronaut: np.ndarray, face: Face, template: str) -> None:
    spec = CropSpec(template, 112, anchor="five")
    crop = align_face(astronaut, face, spec)
    points = face.landmarks
    five = np.stack([points[36:42].mean(0), points[42:48].mean(0), points[30], points[48], points[54]])
    assert np.allclose(crop.matrix, similarity(five, spec.five_px))
    off = np.linalg.norm(transform_points(crop.matrix, five) - spec.five_px, axis=1)
    assert off.max() < 0.1 * 112  # a face: all five are near
    by_eyes = align_face(astronaut, face, CropSpec(template, 112)).matrix
    others = np.linalg.norm(transform_points(by_eyes, five) - spec.five_px, axis=1)
    assert (off**2).sum() < (others**2).sum()


def test_the_arcface_template_is_the_one_of_face_recognition() -> None:
    published = [(38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041)]
    assert np.allclose(CropSpec("arcface", 112, anchor="five").five_px, published, atol=1e-4)
    eyes = CropSpec("arcface", 112).eyes_px
    assert np.allclose(eyes, published[:2], atol=0.11)
    assert eyes[0, 1] == eyes[1, 1]


def test_five_points_need_a_landmarker_that_gives_them(astronaut: np.ndarray) -> None:
    face = align.find_faces(astronaut, landmarks="dlib5")[0]
    with pytest.raises(UsageError, match=r"anchor five needs eyes, nose and mouth \(the landmarks are dlib5\)"):
        align_face(astronaut, face, CropSpec("arcface", anchor="five"))


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"template": "loose"}, "template must be one of tight, arcface, ffhq (got 'loose')"),
        ({"size": 7}, "size must be a whole number of pixels from 8 to 4096, or two (got 7)"),
        ({"size": (96, 5000)}, "or two (got (96, 5000))"),
        ({"size": 96.5}, "got 96.5"),
        ({"size": (96,)}, "got (96,)"),
        ({"border": "black"}, "border must be one of replicate, reflect, constant (got 'black')"),
        ({"colour": "bgr"}, "colour must be one of rgb, grey (got 'bgr')"),
        ({"anchor": "nose"}, "anchor must be one of eyes, five (got 'nose')"),
        ({"anchor": "five"}, "template tight has no five points"),
    ],
)
def test_a_crop_that_cannot_be_is_refused(values: dict[str, object], sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        CropSpec(**values)
    assert sentence in str(caught.value)


def test_reflect_shows_the_picture_mirrored_at_its_edge() -> None:
    ramp = np.repeat(np.arange(0, 240, 4, dtype=np.uint8)[None, :], 60, axis=0)
    face = Face(Box(0, 0, 30, 60), 1.0, "test", eyes=Eyes((2, 20), (14, 20)))
    spec = CropSpec(size=48, border="reflect", colour="grey")
    crop = align_face(ramp, face, spec)
    edge = transform_points(crop.matrix, np.array([[0.0, 20.0]]))[0, 0]
    inside, outside = crop.image[24, round(edge) + 5], crop.image[24, round(edge) - 5]
    assert abs(int(inside) - int(outside)) <= 5
    assert inside > crop.image[24, round(edge)]


def test_where_the_eyes_stand_is_computed_once_and_cannot_be_changed() -> None:
    spec = CropSpec("arcface", 112)
    assert spec.eyes_px is spec.eyes_px
    with pytest.raises(ValueError, match="read-only"):
        spec.eyes_px[0, 0] = 0.0
    assert np.allclose(CropSpec("arcface", 224).eyes_px + 0.5, 2 * (spec.eyes_px + 0.5))
