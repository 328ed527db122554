"""How published files name their tensors, turned into the names of our networks and timm's.

A layout takes all names of a file, in their order, and gives each its new name. Dense layers that became convolutions
need no word here: the loader reshapes them.
"""

import re
from collections.abc import Callable, Iterable, Mapping

Layout = Callable[[Iterable[str]], dict[str, str]]

_VGG16 = {
    f"conv{block}_{i + 1}": f"features.{first + 2 * i}"
    for block, (first, count) in enumerate(((0, 2), (5, 2), (10, 3), (17, 3), (24, 3)), start=1)
    for i in range(count)
}
_VGG_DENSE = {"fc6": "pre_logits.fc1", "fc7": "pre_logits.fc2", "fc8": "head.fc"}

_DAG_STEM = {"conv1_7x7_s2": "conv1", "conv1_7x7_s2_bn": "bn1", "classifier": "fc"}
_DAG_LAYERS = {
    "1x1_reduce": "conv1",
    "1x1_reduce_bn": "bn1",
    "3x3": "conv2",
    "3x3_bn": "bn2",
    "1x1_increase": "conv3",
    "1x1_increase_bn": "bn3",
    "1x1_proj": "downsample.0",
    "1x1_proj_bn": "downsample.1",
    "1x1_down": "se.fc1",
    "1x1_up": "se.fc2",
}


def _split(name: str) -> tuple[str, str]:
    """Split a tensor's name into its module's and the rest."""
    module, _, leaf = name.rpartition(".")
    return module, leaf


def _by_module(modules: Mapping[str, str], names: Iterable[str]) -> dict[str, str]:
    """Rename the modules that are known and leave the others."""
    renamed = {}
    for name in names:
        module, leaf = _split(name)
        renamed[name] = f"{modules[module]}.{leaf}" if module in modules else name
    return renamed


def _same(names: Iterable[str]) -> dict[str, str]:
    return {name: name for name in names}


def _vgg_dag(names: Iterable[str]) -> dict[str, str]:
    """Rename conv1_1 to conv5_3 and fc6 to fc8 as timm does."""
    return _by_module(_VGG16 | _VGG_DENSE, names)


def _dag(names: Iterable[str]) -> dict[str, str]:
    """Rename conv2_1_1x1_reduce and so on, blocks counted from 1 in stages from 2, as torchvision and timm do."""
    names = list(names)
    modules = dict(_DAG_STEM)
    for module in {_split(name)[0] for name in names}:
        found = re.fullmatch(r"conv([2-5])_(\d+)_(.+)", module)
        if found and found[3] in _DAG_LAYERS:
            modules[module] = f"layer{int(found[1]) - 1}.{int(found[2]) - 1}.{_DAG_LAYERS[found[3]]}"
    return _by_module(modules, names)


def _caffe(names: Iterable[str]) -> dict[str, str]:
    """Rename the two convolutions of squeeze and excitation, which are numbered on after the block's three."""
    renamed = {}
    for name in names:
        new = re.sub(r"^(layer\d\.\d+)\.conv4\.", r"\1.se.fc1.", name)
        renamed[name] = re.sub(r"^(layer\d\.\d+)\.conv5\.", r"\1.se.fc2.", new)
    return renamed


def _alexnet_dag(names: Iterable[str]) -> dict[str, str]:
    """Number the batch norms from 1 in the order of the file; some files count them on from other layers."""
    names = list(names)
    norms = dict.fromkeys(module for module, _ in map(_split, names) if re.fullmatch(r"bn\d+", module))
    return _by_module({module: f"bn{i}" for i, module in enumerate(norms, start=1)}, names)


LAYOUTS: dict[str, Layout] = {
    "same": _same,
    "dlib": _same,  # its reader names the tensors itself
    "vgg_dag": _vgg_dag,
    "dag": _dag,
    "caffe": _caffe,
    "alexnet_dag": _alexnet_dag,
}
"""Layout -> the new name of each tensor."""
