"""What is known of each set of face-pretrained weights: its source, its layout, and what it wants to see."""

from dataclasses import dataclass

from .preprocess import Preprocess


@dataclass(frozen=True)
class Card:
    """Hold what is known of one set of weights.

    Attributes:
        name: What `model.backbone.weights` is given.
        title: What it is, in a few words.
        network: The `model.backbone.name` it belongs to.
        files: The names under which its authors publish it, and under which it is looked for in the model store.
        url: Where to get it.
        licence: What its authors say of its use.
        preprocess: What the network was trained to see.
        crop: What its authors cropped, in words.
        layout: A key of `layouts.LAYOUTS`: how the file names its tensors.
        heads: Prefixes of the names, in the network's own layout, of what belongs to the classifier.
        confirmed: What was confirmed in its authors' code, and what was not.
        sha256: Of the whole file; None where its authors publish none.
        hub: Repository on the Hugging Face hub that is downloaded where no file is found; None where it is not there.
    """

    name: str
    title: str
    network: str
    files: tuple[str, ...]
    url: str
    licence: str
    preprocess: Preprocess
    crop: str
    layout: str
    heads: tuple[str, ...]
    confirmed: str
    sha256: str | None = None
    hub: str | None = None


_ALBANIE = "http://www.robots.ox.ac.uk/~albanie/models/pytorch-mcn/"
_CYDONIA = "https://github.com/cydonia999/VGGFace2-pytorch"
_OXFORD = "the Oxford group's: research, non-commercial (VGGFace data CC BY-NC 4.0; not confirmed for the weights)"
_VGGFACE2 = "the Oxford group's: VGGFace2 models CC BY-SA 4.0 (from memory, not confirmed)"
_UNIT = (127.5, 127.5, 127.5)
_ONES = (1.0, 1.0, 1.0)
_VGGFACE2_MEAN = (131.0912, 103.8827, 91.4953)
_IMAGENET_MEAN, _IMAGENET_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
_LOOSE = "detector's box enlarged by 0.3, short side to 256 px, 224 px of it"

_DLIB = (
    Card(
        name="dlib",
        title="dlib's face-recognition ResNet",
        network="dlib_face_resnet",
        files=("dlib_face_recognition_resnet_model_v1.dat",),
        url="https://github.com/davisking/dlib-models (comes with the installation)",
        licence="public domain (CC0)",
        preprocess=Preprocess(150, (122.782, 117.001, 104.298), (256.0, 256.0, 256.0)),
        crop="dlib's chip: 150 px with a quarter of padding, aligned by 5 points",
        layout="dlib",
        heads=(),
        confirmed="all: equal to dlib's own output within 5e-6 (tests)",
        sha256="55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
    ),
)

_OXFORD_CARDS = (
    Card(
        name="vggface-vgg16",
        title="VGGFace VGG16 (Parkhi et al. 2015)",
        network="vgg16",
        files=("vgg_face_dag.pth",),
        url=f"{_ALBANIE}vgg_face_dag.pth",
        licence=_OXFORD,
        preprocess=Preprocess(224, (129.186279296875, 104.76238250732422, 93.59396362304688), _ONES),
        crop="loose box of the face, 224 px",
        layout="vgg_dag",
        heads=("head.fc",),
        confirmed="key names, mean, std, size: in copies of the published definition; order RGB as its mean is listed",
    ),
    Card(
        name="vggface2-resnet50",
        title="VGGFace2 ResNet-50 (Cao et al. 2018), converted from caffe by cydonia999",
        network="resnet50_caffe",
        files=("resnet50_ft_weight.pkl", "resnet50_scratch_weight.pkl"),
        url=_CYDONIA,
        licence=_VGGFACE2,
        preprocess=Preprocess(224, _VGGFACE2_MEAN, _ONES, "bgr"),
        crop=_LOOSE,
        layout="caffe",
        heads=("fc",),
        confirmed="network, key names, mean, order: in the port's code",
    ),
    Card(
        name="vggface2-senet50",
        title="VGGFace2 SE-ResNet-50 (Cao et al. 2018), converted from caffe by cydonia999",
        network="senet50_caffe",
        files=("senet50_ft_weight.pkl", "senet50_scratch_weight.pkl"),
        url=_CYDONIA,
        licence=_VGGFACE2,
        preprocess=Preprocess(224, _VGGFACE2_MEAN, _ONES, "bgr"),
        crop=_LOOSE,
        layout="caffe",
        heads=("fc",),
        confirmed="network, key names, mean, order: in the port's code",
    ),
    Card(
        name="vggface2-resnet50-dag",
        title="VGGFace2 ResNet-50, converted from MatConvNet",
        network="resnet50_caffe",
        files=("resnet50_ft_dag.pth", "resnet50_scratch_dag.pth"),
        url=f"{_ALBANIE}resnet50_ft_dag.pth",
        licence=_VGGFACE2,
        preprocess=Preprocess(224, _VGGFACE2_MEAN, _ONES),
        crop=_LOOSE,
        layout="dag",
        heads=("fc",),
        confirmed="network, key names, mean: in copies of the published definition; order RGB as its mean is listed",
    ),
    Card(
        name="vggface2-senet50-dag",
        title="VGGFace2 SE-ResNet-50, converted from MatConvNet",
        network="senet50_caffe",
        files=("senet50_ft_dag.pth", "senet50_scratch_dag.pth"),
        url=f"{_ALBANIE}senet50_ft_dag.pth",
        licence=_VGGFACE2,
        preprocess=Preprocess(224, _VGGFACE2_MEAN, _ONES),
        crop=_LOOSE,
        layout="dag",
        heads=("fc",),
        confirmed="network, key names, mean: in a copy of senet50_ferplus_dag; order RGB as its mean is listed",
    ),
    Card(
        name="alexnet-face-fer",
        title="AlexNet trained on VGGFace, then on FER2013 (do not test it there)",
        network="alexnet_face",
        files=("alexnet_face_fer_bn_dag.pth",),
        url=f"{_ALBANIE}alexnet_face_fer_bn_dag.pth",
        licence=_OXFORD,
        preprocess=Preprocess(227, (131.09375, 103.88607788085938, 91.47599792480469), _ONES),
        crop="loose box of the face, 227 px",
        layout="alexnet_dag",
        heads=("fc8",),
        confirmed="network, key names, mean, size: in a copy of the published code; order RGB as its mean is listed",
    ),
    Card(
        name="alexnet-face",
        title="AlexNet trained on VGGFace",
        network="alexnet_face",
        files=("alexnet_face_bn_dag.pth",),
        url=f"{_ALBANIE}alexnet_face_bn_dag.pth",
        licence=_OXFORD,
        preprocess=Preprocess(227, (131.09375, 103.88607788085938, 91.47599792480469), _ONES),
        crop="loose box of the face, 227 px",
        layout="alexnet_dag",
        heads=("fc8",),
        confirmed="not confirmed: taken to be alexnet-face-fer before FER2013; batch norms are told by their order",
    ),
)


def _facenet(name: str, data: str, file: str) -> Card:
    return Card(
        name=name,
        title=f"facenet's Inception-ResNet v1 on {data}, converted by facenet-pytorch",
        network="inception_resnet_v1",
        files=(file,),
        url=f"https://github.com/timesler/facenet-pytorch/releases/download/v2.2.9/{file}",
        licence="MIT (the code); the data's own terms for the weights are unclear",
        preprocess=Preprocess(160, _UNIT, (128.0, 128.0, 128.0)),
        crop="MTCNN's box with a margin of 14 in 160 px, not turned",
        layout="same",
        heads=("logits",),
        confirmed="network, key names, mean, std, size: in facenet-pytorch's code; margin: its issue 62",
    )


_FACENET = (
    _facenet("facenet-vggface2", "VGGFace2", "20180402-114759-vggface2.pt"),
    _facenet("facenet-casia", "CASIA-WebFace", "20180408-102900-casia-webface.pt"),
)


def _timm_face(name: str, title: str, network: str, repository: str) -> Card:
    return Card(
        name=name,
        title=f"{title} on MS1MV3, by gaunernst",
        network=network,
        files=(f"{repository}.safetensors",),
        url=f"https://huggingface.co/gaunernst/{repository} (model.safetensors, saved under the file name)",
        licence="not stated where we looked; MS1MV3 is for research",
        preprocess=Preprocess(112, _UNIT, _UNIT, template="arcface"),
        crop="the 112 px of face recognition, aligned by 5 points",
        layout="same",
        heads=("head.fc" if "convnext" in network else "head",),
        confirmed="network by its options and its number of parameters, mean and std in the training code",
        hub=f"gaunernst/{repository}",
    )


_TIMM = (
    _timm_face(
        "vit-small-cosface",
        "ViT-S/8, CosFace",
        "vit_small_patch8_gap_112",
        "vit_small_patch8_gap_112.cosface_ms1mv3",
    ),
    _timm_face("vit-tiny-cosface", "ViT-Ti/8, CosFace", "vit_tiny_patch8_112", "vit_tiny_patch8_112.cosface_ms1mv3"),
    _timm_face("vit-tiny-arcface", "ViT-Ti/8, ArcFace", "vit_tiny_patch8_112", "vit_tiny_patch8_112.arcface_ms1mv3"),
    _timm_face("vit-tiny-adaface", "ViT-Ti/8, AdaFace", "vit_tiny_patch8_112", "vit_tiny_patch8_112.adaface_ms1mv3"),
    _timm_face(
        "convnext-nano-cosface", "ConvNeXt-Nano, CosFace", "convnext_nano_patch2", "convnext_nano.cosface_ms1mv3"
    ),
    _timm_face(
        "convnext-atto-cosface", "ConvNeXt-Atto, CosFace", "convnext_atto_patch2", "convnext_atto.cosface_ms1mv3"
    ),
)


def _adaface(depth: int, stem: str, sets: tuple[str, ...]) -> Card:
    return Card(
        name=f"adaface-ir{depth}",
        title=f"AdaFace IR-{depth} (Kim et al. 2022)",
        network=f"iresnet{depth}",
        files=tuple(f"adaface_{stem}_{data}.ckpt" for data in sets),
        url="https://github.com/mk-minchul/AdaFace#pretrained-models",
        licence="MIT (the code); the data's own terms for the weights are unclear",
        preprocess=Preprocess(112, _UNIT, _UNIT, "bgr", template="arcface"),
        crop="the 112 px of face recognition, aligned by MTCNN's 5 points",
        layout="same",
        heads=("head",),
        confirmed="order, mean, std, prefix in its code; key names in copies of it; file names but ir50_ms1mv2 are not",
    )


_ADAFACE = (
    _adaface(18, "ir18", ("webface4m", "vgg2", "casia")),
    _adaface(50, "ir50", ("webface4m", "ms1mv2", "casia")),
    _adaface(100, "ir101", ("webface12m", "webface4m", "ms1mv3", "ms1mv2")),
)


def _hsemotion(name: str, size_px: int, network: str, file: str) -> Card:
    return Card(
        name=name,
        title=f"HSEmotion's {network}, trained on the people of VGGFace2",
        network=network,
        files=(file,),
        url=f"https://github.com/av-savchenko/face-emotion-recognition, models/pretrained_faces/{file}",
        licence="Apache-2.0",
        preprocess=Preprocess(size_px, _IMAGENET_MEAN, _IMAGENET_STD),
        crop="MTCNN's box, not turned",
        layout="same",
        heads=("classifier",),
        confirmed="network, mean and std in its training code; the file holds a state dict without a classifier",
    )


_HSEMOTION = (
    _hsemotion("hsemotion-enet-b0", 224, "tf_efficientnet_b0", "state_vggface2_enet0_new.pt"),
    _hsemotion("hsemotion-enet-b2", 260, "tf_efficientnet_b2", "state_vggface2_enet2.pt"),
)

CARDS: dict[str, Card] = {
    card.name: card for card in (*_DLIB, *_OXFORD_CARDS, *_FACENET, *_TIMM, *_ADAFACE, *_HSEMOTION)
}
"""Every card by its name."""
