"""The backbone on dlib's face-recognition ResNet, which `align` rebuilds from dlib's own file."""

from align import DlibFaceResNet, UsageError, find_model

from .base import Backbone, Preprocess

PREPROCESS = Preprocess(size_px=DlibFaceResNet.side_px, mean=DlibFaceResNet.mean_rgb, std=(DlibFaceResNet.std,) * 3)


def build(pretrained: bool | None, stage: int | None) -> Backbone:  # noqa: FBT001 - the registry's Builder
    """Build the backbone; unless `pretrained` is False with dlib's weights, which an installed package ships.

    Raises:
        UsageError: There is no such stage.
        ModelError: The file of weights is missing, or its bytes are not the expected ones.
    """
    if stage is not None and not 1 <= stage <= DlibFaceResNet.stages:
        raise UsageError(
            f"model.backbone.stage must be 1 to {DlibFaceResNet.stages} for dlib_face_resnet (got {stage})"
        )
    net = DlibFaceResNet(stage)
    if pretrained is not False:
        net.load(find_model(DlibFaceResNet.model_file))
    return Backbone(net, net.features, PREPROCESS, pretrained=pretrained is not False)
