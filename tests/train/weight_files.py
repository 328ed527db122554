"""Random tensors laid out as each published file lays out its own, and each network spelled out as plain functions.

The names and shapes are those of the published definitions; the functions read them by name, so that they share no code
with the package.
"""

import torch
import torch.nn.functional as F  # noqa: N812 - the name everyone gives it

DEPTHS, SHALLOW = (3, 4, 6, 3), (1, 2, 1, 1)
_DRAW = torch.Generator()


def seed(value):
    _DRAW.manual_seed(value)


def conv(name, out, width_in, *kernel, bias=False):
    shape = (out, width_in, *kernel)
    fan = width_in * torch.tensor(kernel or (1,)).prod().item()
    tensors = {f"{name}.weight": torch.randn(shape, generator=_DRAW) * (1.5 / fan) ** 0.5}
    return tensors | ({f"{name}.bias": torch.randn(out, generator=_DRAW) * 0.1} if bias else {})


def norm(name, width, *, affine=True, counter=False):
    tensors = {
        f"{name}.running_mean": torch.randn(width, generator=_DRAW) * 0.1,
        f"{name}.running_var": torch.rand(width, generator=_DRAW) + 0.5,
    }
    if affine:
        tensors[f"{name}.weight"] = torch.rand(width, generator=_DRAW) + 0.5
        tensors[f"{name}.bias"] = torch.randn(width, generator=_DRAW) * 0.1
    return tensors | ({f"{name}.num_batches_tracked": torch.tensor(7)} if counter else {})


def apply_conv(s, name, x, **options):
    return F.conv2d(x, s[f"{name}.weight"], s.get(f"{name}.bias"), **options)


def apply_norm(s, name, x, eps=1e-5):
    return F.batch_norm(
        x, s[f"{name}.running_mean"], s[f"{name}.running_var"], s.get(f"{name}.weight"), s.get(f"{name}.bias"), eps=eps
    )


def caffe_resnet(depths, *, se):
    """resnet50_ft_weight.pkl and senet50_ft_weight.pkl: torchvision's names, SE as conv4 and conv5; no counters."""
    s = conv("conv1", 64, 3, 7, 7) | norm("bn1", 64)
    width_in = 64
    for stage, depth in enumerate(depths, start=1):
        width = 32 * 2**stage
        for i in range(depth):
            at = f"layer{stage}.{i}"
            s |= conv(f"{at}.conv1", width, width_in, 1, 1) | norm(f"{at}.bn1", width)
            s |= conv(f"{at}.conv2", width, width, 3, 3) | norm(f"{at}.bn2", width)
            s |= conv(f"{at}.conv3", 4 * width, width, 1, 1) | norm(f"{at}.bn3", 4 * width)
            if se:
                s |= conv(f"{at}.conv4", width // 4, 4 * width, 1, 1, bias=True)
                s |= conv(f"{at}.conv5", 4 * width, width // 4, 1, 1, bias=True)
            if i == 0:
                s |= conv(f"{at}.downsample.0", 4 * width, width_in, 1, 1) | norm(f"{at}.downsample.1", 4 * width)
            width_in = 4 * width
    return s | conv("fc", 10, 2048, bias=True)


def run_caffe_resnet(s, x, depths):
    """Stride in the first 1 x 1, unpadded pool that rounds up, global mean."""
    x = F.relu(apply_norm(s, "bn1", apply_conv(s, "conv1", x, stride=2, padding=3)))
    x = F.max_pool2d(x, 3, 2, ceil_mode=True)
    for stage, depth in enumerate(depths, start=1):
        for i in range(depth):
            at, stride = f"layer{stage}.{i}", 2 if stage > 1 and i == 0 else 1
            y = F.relu(apply_norm(s, f"{at}.bn1", apply_conv(s, f"{at}.conv1", x, stride=stride)))
            y = F.relu(apply_norm(s, f"{at}.bn2", apply_conv(s, f"{at}.conv2", y, padding=1)))
            y = apply_norm(s, f"{at}.bn3", apply_conv(s, f"{at}.conv3", y))
            if f"{at}.conv4.weight" in s:
                gate = F.relu(apply_conv(s, f"{at}.conv4", y.mean((2, 3), keepdim=True)))
                y = y * torch.sigmoid(apply_conv(s, f"{at}.conv5", gate))
            if i == 0:
                x = apply_norm(s, f"{at}.downsample.1", apply_conv(s, f"{at}.downsample.0", x, stride=stride))
            x = F.relu(x + y)
    return x.mean((2, 3))


def as_dag(caffe):
    """The same tensors under the names of resnet50_ft_dag.pth and senet50_ft_dag.pth."""
    inside = {
        "conv1": "1x1_reduce",
        "bn1": "1x1_reduce_bn",
        "conv2": "3x3",
        "bn2": "3x3_bn",
        "conv3": "1x1_increase",
        "bn3": "1x1_increase_bn",
        "conv4": "1x1_down",
        "conv5": "1x1_up",
        "downsample.0": "1x1_proj",
        "downsample.1": "1x1_proj_bn",
    }
    dag = {}
    for name, tensor in caffe.items():
        module, _, leaf = name.rpartition(".")
        if module.startswith("layer"):
            stage, block, rest = module.removeprefix("layer").split(".", 2)
            module = f"conv{int(stage) + 1}_{int(block) + 1}_{inside[rest]}"
        else:
            module = {"conv1": "conv1_7x7_s2", "bn1": "conv1_7x7_s2_bn", "fc": "classifier"}[module]
        dag[f"{module}.{leaf}"] = tensor[..., None, None] if name == "fc.weight" else tensor
    return dag


def vgg_dag(hidden):
    """vgg_face_dag.pth, with narrower dense layers."""
    s, width_in = {}, 3
    for block, (width, count) in enumerate(((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)), start=1):
        for i in range(1, count + 1):
            s |= conv(f"conv{block}_{i}", width, width_in, 3, 3, bias=True)
            width_in = width
    s |= conv("fc6", hidden, 512 * 7 * 7, bias=True) | conv("fc7", hidden, hidden, bias=True)
    return s | conv("fc8", 2622, hidden, bias=True)


def run_vgg_dag(s, x):
    for block, count in enumerate((2, 2, 3, 3, 3), start=1):
        for i in range(1, count + 1):
            x = F.relu(apply_conv(s, f"conv{block}_{i}", x, padding=1))
        x = F.max_pool2d(x, 2, 2)
    x = F.relu(F.linear(x.flatten(1), s["fc6.weight"], s["fc6.bias"]))
    return F.relu(F.linear(x, s["fc7.weight"], s["fc7.bias"]))


ALEXNET = ((96, 3, 11), (256, 48, 5), (384, 256, 3), (384, 192, 3), (256, 192, 3))


def alexnet_dag(hidden, first_norm=1):
    """alexnet_face_fer_bn_dag.pth, with narrower dense layers; other files number the norms on from elsewhere."""
    s = {}
    for i, (out, width_in, kernel) in enumerate(ALEXNET):
        s |= conv(f"conv{i + 1}", out, width_in, kernel, kernel, bias=True) | norm(f"bn{first_norm + i}", out)
    s |= conv("fc6", hidden, 256, 6, 6, bias=True) | norm(f"bn{first_norm + 5}", hidden)
    s |= conv("fc7", hidden, hidden, 1, 1, bias=True) | norm(f"bn{first_norm + 6}", hidden)
    return s | conv("fc8", 7, hidden, bias=True)


def run_alexnet_dag(s, x, first_norm=1):
    options = ({"stride": 4}, {"padding": 2, "groups": 2}, {"padding": 1}, *({"padding": 1, "groups": 2},) * 2)
    for i, option in enumerate(options):
        x = F.relu(apply_norm(s, f"bn{first_norm + i}", apply_conv(s, f"conv{i + 1}", x, **option)))
        x = F.max_pool2d(x, 3, 2) if i in (0, 1, 4) else x
    for i in (5, 6):
        x = F.relu(apply_norm(s, f"bn{first_norm + i}", apply_conv(s, f"fc{i + 1}", x)))
    return x.flatten(1)


def adaface(depths, prefix="model."):
    """The state dict of an AdaFace checkpoint, with the margin head beside the model."""
    s = conv("input_layer.0", 64, 3, 3, 3) | norm("input_layer.1", 64, counter=True) | prelu("input_layer.2", 64)
    width_in, block = 64, 0
    for stage, depth in enumerate(depths):
        width = 64 * 2**stage
        for _ in range(depth):
            at = f"body.{block}"
            if width_in != width:
                s |= conv(f"{at}.shortcut_layer.0", width, width_in, 1, 1) | norm(f"{at}.shortcut_layer.1", width)
            s |= norm(f"{at}.res_layer.0", width_in) | conv(f"{at}.res_layer.1", width, width_in, 3, 3)
            s |= norm(f"{at}.res_layer.2", width) | prelu(f"{at}.res_layer.3", width)
            s |= conv(f"{at}.res_layer.4", width, width, 3, 3) | norm(f"{at}.res_layer.5", width)
            width_in, block = width, block + 1
    s |= norm("output_layer.0", 512) | conv("output_layer.3", 512, 512 * 49, bias=True)
    s |= norm("output_layer.4", 512, affine=False)
    return {f"{prefix}{name}": tensor for name, tensor in s.items()} | {"head.kernel": torch.zeros(512, 20)}


def prelu(name, width):
    return {f"{name}.weight": torch.rand(width, generator=_DRAW) * 0.5}


def run_adaface(prefixed, x, depths):
    s = {name.removeprefix("model."): tensor for name, tensor in prefixed.items()}
    x = apply_norm(s, "input_layer.1", apply_conv(s, "input_layer.0", x, padding=1))
    x = F.prelu(x, s["input_layer.2.weight"])
    block = 0
    for depth in depths:
        for i in range(depth):
            at, stride = f"body.{block}", 2 if i == 0 else 1
            y = apply_conv(s, f"{at}.res_layer.1", apply_norm(s, f"{at}.res_layer.0", x), padding=1)
            y = F.prelu(apply_norm(s, f"{at}.res_layer.2", y), s[f"{at}.res_layer.3.weight"])
            y = apply_norm(s, f"{at}.res_layer.5", apply_conv(s, f"{at}.res_layer.4", y, stride=stride, padding=1))
            if f"{at}.shortcut_layer.0.weight" in s:
                shortcut = apply_conv(s, f"{at}.shortcut_layer.0", x, stride=stride)
                x = apply_norm(s, f"{at}.shortcut_layer.1", shortcut)
            else:
                x = x[:, :, ::stride, ::stride]
            x, block = x + y, block + 1
    x = F.linear(apply_norm(s, "output_layer.0", x).flatten(1), s["output_layer.3.weight"], s["output_layer.3.bias"])
    return apply_norm(s, "output_layer.4", x)


def _unit(name, out, width_in, *kernel):
    return conv(f"{name}.conv", out, width_in, *kernel) | norm(f"{name}.bn", out, counter=True)


def facenet(classes=20):
    """20180402-114759-vggface2.pt, with fewer people."""
    s = _unit("conv2d_1a", 32, 3, 3, 3) | _unit("conv2d_2a", 32, 32, 3, 3) | _unit("conv2d_2b", 64, 32, 3, 3)
    s |= _unit("conv2d_3b", 80, 64, 1, 1) | _unit("conv2d_4a", 192, 80, 3, 3) | _unit("conv2d_4b", 256, 192, 3, 3)
    for i in range(5):
        at = f"repeat_1.{i}"
        s |= _unit(f"{at}.branch0", 32, 256, 1, 1)
        s |= _unit(f"{at}.branch1.0", 32, 256, 1, 1) | _unit(f"{at}.branch1.1", 32, 32, 3, 3)
        s |= _unit(f"{at}.branch2.0", 32, 256, 1, 1) | _unit(f"{at}.branch2.1", 32, 32, 3, 3)
        s |= _unit(f"{at}.branch2.2", 32, 32, 3, 3) | conv(f"{at}.conv2d", 256, 96, 1, 1, bias=True)
    s |= _unit("mixed_6a.branch0", 384, 256, 3, 3) | _unit("mixed_6a.branch1.0", 192, 256, 1, 1)
    s |= _unit("mixed_6a.branch1.1", 192, 192, 3, 3) | _unit("mixed_6a.branch1.2", 256, 192, 3, 3)
    for i in range(10):
        at = f"repeat_2.{i}"
        s |= _unit(f"{at}.branch0", 128, 896, 1, 1) | _unit(f"{at}.branch1.0", 128, 896, 1, 1)
        s |= _unit(f"{at}.branch1.1", 128, 128, 1, 7) | _unit(f"{at}.branch1.2", 128, 128, 7, 1)
        s |= conv(f"{at}.conv2d", 896, 256, 1, 1, bias=True)
    s |= _unit("mixed_7a.branch0.0", 256, 896, 1, 1) | _unit("mixed_7a.branch0.1", 384, 256, 3, 3)
    s |= _unit("mixed_7a.branch1.0", 256, 896, 1, 1) | _unit("mixed_7a.branch1.1", 256, 256, 3, 3)
    s |= _unit("mixed_7a.branch2.0", 256, 896, 1, 1) | _unit("mixed_7a.branch2.1", 256, 256, 3, 3)
    s |= _unit("mixed_7a.branch2.2", 256, 256, 3, 3)
    for at in [*(f"repeat_3.{i}" for i in range(5)), "block8"]:
        s |= _unit(f"{at}.branch0", 192, 1792, 1, 1) | _unit(f"{at}.branch1.0", 192, 1792, 1, 1)
        s |= _unit(f"{at}.branch1.1", 192, 192, 1, 3) | _unit(f"{at}.branch1.2", 192, 192, 3, 1)
        s |= conv(f"{at}.conv2d", 1792, 384, 1, 1, bias=True)
    return s | conv("last_linear", 512, 1792) | norm("last_bn", 512) | conv("logits", classes, 512, bias=True)


def run_facenet(s, x):
    def unit(name, x, **options):
        return F.relu(apply_norm(s, f"{name}.bn", apply_conv(s, f"{name}.conv", x, **options), eps=0.001))

    def add(at, x, branches, scale):
        return x + scale * apply_conv(s, f"{at}.conv2d", torch.cat(branches, 1))

    x = unit("conv2d_2a", unit("conv2d_1a", x, stride=2))
    x = F.max_pool2d(unit("conv2d_2b", x, padding=1), 3, 2)
    x = unit("conv2d_4b", unit("conv2d_4a", unit("conv2d_3b", x)), stride=2)
    for i in range(5):
        at = f"repeat_1.{i}"
        one = unit(f"{at}.branch1.1", unit(f"{at}.branch1.0", x), padding=1)
        two = unit(f"{at}.branch2.1", unit(f"{at}.branch2.0", x), padding=1)
        two = unit(f"{at}.branch2.2", two, padding=1)
        x = F.relu(add(at, x, [unit(f"{at}.branch0", x), one, two], 0.17))
    one = unit("mixed_6a.branch1.1", unit("mixed_6a.branch1.0", x), padding=1)
    one = unit("mixed_6a.branch1.2", one, stride=2)
    x = torch.cat([unit("mixed_6a.branch0", x, stride=2), one, F.max_pool2d(x, 3, 2)], 1)
    for i in range(10):
        at = f"repeat_2.{i}"
        one = unit(f"{at}.branch1.1", unit(f"{at}.branch1.0", x), padding=(0, 3))
        one = unit(f"{at}.branch1.2", one, padding=(3, 0))
        x = F.relu(add(at, x, [unit(f"{at}.branch0", x), one], 0.10))
    zero = unit("mixed_7a.branch0.1", unit("mixed_7a.branch0.0", x), stride=2)
    one = unit("mixed_7a.branch1.1", unit("mixed_7a.branch1.0", x), stride=2)
    two = unit("mixed_7a.branch2.1", unit("mixed_7a.branch2.0", x), padding=1)
    x = torch.cat([zero, one, unit("mixed_7a.branch2.2", two, stride=2), F.max_pool2d(x, 3, 2)], 1)
    for at, scale in [*((f"repeat_3.{i}", 0.20) for i in range(5)), ("block8", 1.0)]:
        one = unit(f"{at}.branch1.1", unit(f"{at}.branch1.0", x), padding=(0, 1))
        one = unit(f"{at}.branch1.2", one, padding=(1, 0))
        x = add(at, x, [unit(f"{at}.branch0", x), one], scale)
        x = x if at == "block8" else F.relu(x)
    x = F.linear(x.mean((2, 3)), s["last_linear.weight"])
    return apply_norm(s, "last_bn", x, eps=0.001)
