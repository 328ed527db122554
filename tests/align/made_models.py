"""Small model files laid out like the real ones, for networks whose weights no package ships."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper

from align import MODELS
from align.models import ModelFile

Put = Callable[[str], Path]


def fitting_card(path: Path) -> ModelFile:
    """Give the card of the file of this name, as it would be if this were the real file."""
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return ModelFile(**{**vars(MODELS[path.name]), "sha256": sha256, "size": path.stat().st_size})


def _save_shy(state: dict[str, torch.Tensor], path: Path, but: str, at: str) -> None:
    """Save random weights that see a face nowhere but on the coarsest grid, so that there are few to look through."""
    for key, value in state.items():
        if key.endswith(at) and ("Class" in key or "conf" in key):
            value[0::2] = 8.0 if but not in key else -0.2
            value[1::2] = -8.0 if but not in key else 0.2
    torch.save(state, path)


def make_s3fd(path: Path) -> None:
    from face_alignment.detection.sfd.net_s3fd import s3fd

    torch.manual_seed(0)
    _save_shy(s3fd().state_dict(), path, but="conv7_2_mbox_conf", at="mbox_conf.bias")


def make_retinaface(path: Path) -> None:
    """Write weights whose keys begin as those of the real file do."""
    from face_alignment.detection.retinaface.net_retinaface import RetinaFace, cfg_mnet

    torch.manual_seed(0)
    state = {f"module.{key}": value for key, value in RetinaFace(cfg=cfg_mnet).state_dict().items()}
    _save_shy(state, path, but="ClassHead.2", at="conv1x1.bias")


def make_blazeface(path: Path) -> None:
    from face_alignment.detection.blazeface.net_blazeface import BlazeFace

    torch.manual_seed(0)
    state = BlazeFace().state_dict()
    for grid in ("8", "16"):
        state[f"classifier_{grid}.bias"] -= 0.2  # sees few faces
        state[f"regressor_{grid}.weight"] *= 0.0
        state[f"regressor_{grid}.bias"].view(-1, 16)[:, 2:4] = 40.0  # boxes of 40 pixels at the anchors
    torch.save(state, path)


def make_blazeface_anchors(path: Path) -> None:
    """Two anchors on a grid of 16 x 16 and six on one of 8 x 8: middle x, y, and a width and height of 1."""
    rows = []
    for cells, anchors in ((16, 2), (8, 6)):
        middles = (np.arange(cells) + 0.5) / cells
        rows += [(x, y, 1.0, 1.0) for y in middles for x in middles for _ in range(anchors)]
    np.save(path, np.array(rows, dtype=np.float32))


def make_fan(path: Path) -> None:
    from face_alignment.models import FAN

    torch.manual_seed(0)
    torch.save(FAN(4).state_dict(), path)


def make_scrfd(path: Path) -> None:
    """Make an ONNX file with SCRFD's six outputs that scores the redness of each cell, and boxes of 3 by 3 cells.

    Grey scores little: a network that took every cell for a face would have thousands of them looked at.
    """
    nodes, outputs, values = [], [], []
    redness = np.zeros((2, 3, 1, 1), np.float32)
    redness[:, 0], redness[:, 2] = 2.0, -2.0
    weights = {
        "redness": redness,
        "doubt": np.full(2, -2.0, np.float32),
        "no": np.zeros((8, 3, 1, 1), np.float32),
        "reach": np.full(8, 1.5, np.float32),
        "one": np.array([-1, 1], np.int64),
        "four": np.array([-1, 4], np.int64),
    }
    for stride in (8, 16, 32):
        shape = [stride, stride]
        nodes += [
            helper.make_node("AveragePool", ["x"], [f"m{stride}"], kernel_shape=shape, strides=shape),
            helper.make_node("Conv", [f"m{stride}", "redness", "doubt"], [f"r{stride}"]),
            helper.make_node("Sigmoid", [f"r{stride}"], [f"p{stride}"]),
            helper.make_node("Transpose", [f"p{stride}"], [f"q{stride}"], perm=[0, 2, 3, 1]),
            helper.make_node("Reshape", [f"q{stride}", "one"], [f"score{stride}"]),
            helper.make_node("Conv", [f"m{stride}", "no", "reach"], [f"b{stride}"]),
            helper.make_node("Transpose", [f"b{stride}"], [f"c{stride}"], perm=[0, 2, 3, 1]),
            helper.make_node("Reshape", [f"c{stride}", "four"], [f"box{stride}"]),
        ]
    for kind, width in (("score", 1), ("box", 4)):
        outputs += [
            helper.make_tensor_value_info(f"{kind}{stride}", TensorProto.FLOAT, [None, width]) for stride in (8, 16, 32)
        ]
    values = [onnx.numpy_helper.from_array(value, name) for name, value in weights.items()]
    picture = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, None, None])
    graph = helper.make_graph(nodes, "scrfd", [picture], outputs, values)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path.write_bytes(model.SerializeToString())


MAKERS = {
    "s3fd-619a316812.pth": make_s3fd,
    "retinaface_mobilenet0.25.pth": make_retinaface,
    "blazeface.pth": make_blazeface,
    "blazeface_anchors.npy": make_blazeface_anchors,
    "2DFAN4-11f355bf06.pth.tar": make_fan,
    "scrfd_2.5g_bnkps.onnx": make_scrfd,
}
"""Name of a model file -> what makes one like it."""
