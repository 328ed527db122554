"""Grad-CAM, activation maps and filters against nets whose answers are worked out by hand."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from align import EyelineError, UsageError
from curate.manifest import read_manifest
from train.cli import main
from train.inside import LookSpec, filter_grid, find_layers, grad_cam, last_map, strongest
from train.inside.activations import activation_maps
from train.inside.faces import choose_faces, target_columns
from train.inside.layers import as_maps, token_grid
from train.inside.look import _filters
from train.tasks import Tasks

from .untrained import save, untrained

TWO = Tasks(["not_face", "face"])


def with_net(net, head, tasks=TWO, freeze="none"):
    """A FaceModel around a net of the test's own, which takes pictures as they are, 0 to 255."""
    model = untrained(tasks=tasks, freeze=freeze)
    model.backbone.net, model.head = net, head
    model.backbone.normalize.mean.zero_()
    model.backbone.normalize.std.fill_(1)
    return model.eval()


def hand_worked(weights=((1.0, -2.0), (0.0, 1.0)), freeze="none"):
    """Maps are the red and the green channel; the outputs are sums of their means."""
    conv = nn.Conv2d(3, 2, 1, bias=False)
    head = nn.Linear(2, 2, bias=False)
    with torch.no_grad():
        conv.weight.copy_(torch.tensor([[1.0, 0, 0], [0, 1.0, 0]])[:, :, None, None])
        head.weight.copy_(torch.tensor(weights))
    net = nn.Sequential(conv, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    net.requires_grad_(freeze == "none")
    return with_net(net, head, freeze=freeze)


@pytest.mark.parametrize("freeze", ["none", "all"])
def test_grad_cam_equals_the_hand_worked_sum_also_of_a_frozen_backbone(freeze):
    model = hand_worked(freeze=freeze)
    images = torch.randint(0, 256, (3, 3, 8, 8), generator=torch.Generator().manual_seed(0)).float()
    columns = torch.tensor([0, 1, 0])
    with torch.no_grad():  # whatever the caller has set
        cam = grad_cam(model, images, columns, find_layers(model.backbone, 8)["0"])
    red, green = images[:, 0], images[:, 1]
    for i, column in enumerate(columns.tolist()):
        speaks = torch.relu(red[i] - 2 * green[i]) if column == 0 else green[i]
        torch.testing.assert_close(cam.peak[i], speaks.max() / 64)
        torch.testing.assert_close(cam.heat[i], speaks / speaks.max())
        means = red[i].mean() - 2 * green[i].mean() if column == 0 else green[i].mean()
        torch.testing.assert_close(cam.score[i], means)


def test_where_nothing_speaks_for_the_answer_the_heat_is_zero():
    model = hand_worked(weights=((-1.0, -1.0), (0.0, 1.0)))
    cam = grad_cam(model, torch.full((1, 3, 8, 8), 9.0), torch.tensor([0]), find_layers(model.backbone, 8)["0"])
    assert cam.peak.item() == 0
    assert not cam.heat.any()


def test_a_relu_in_place_after_the_layer_changes_neither_maps_nor_gradient():
    layers = [nn.Conv2d(3, 4, 3, bias=False), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    model = with_net(nn.Sequential(*layers), nn.Linear(4, 2))
    images = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 255
    layer = find_layers(model.backbone, 8)["0"]
    with torch.no_grad():
        torch.testing.assert_close(activation_maps(model.backbone, images, layer), layers[0](images))
    before = grad_cam(model, images, torch.tensor([0, 1]), layer)
    layers[1].inplace = False
    torch.testing.assert_close(before.heat, grad_cam(model, images, torch.tensor([0, 1]), layer).heat)


def corner_images(count, generator):
    """Noise; of class 1 are those with a bright square in the upper left corner."""
    images = torch.rand(count, 3, 32, 32, generator=generator) * 120
    labels = torch.arange(count) % 2
    images[labels == 1, :, :8, :8] += 120
    return images, labels


def test_the_heat_lies_where_the_evidence_was_planted():
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    body = [nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1)]
    net, head = nn.Sequential(*body, nn.Flatten()), nn.Linear(8, 2)
    model = with_net(net, head)
    model.backbone.normalize.std.fill_(128)
    optimizer = torch.optim.Adam([*net.parameters(), *head.parameters()], 0.02)
    for _ in range(60):
        images, labels = corner_images(32, generator)
        loss = nn.functional.cross_entropy(head(model.backbone(images)), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    images, labels = corner_images(16, generator)
    with torch.no_grad():
        assert (head(model.backbone(images)).argmax(1) == labels).all()
    layer = last_map(find_layers(model.backbone, 32), net)
    assert layer.name == "3"
    heat = grad_cam(model, images[labels == 1], torch.ones(8, dtype=torch.int64), layer).heat
    places = heat.flatten(1).argmax(1)
    assert ((places // 32 < 10) & (places % 32 < 10)).all()
    assert (heat[:, :10, :10].mean((1, 2)) > 4 * heat[:, 16:, 16:].mean((1, 2))).all()


@pytest.mark.parametrize(
    ("name", "layer", "maps"),
    [
        ("test_resnet", "layer4", (96, 2, 2)),
        ("test_vit", "blocks.5.norm1", (64, 4, 4)),  # tokens without the class token
        ("test_mambaout", "stages", (64, 2, 2)),  # channels last
        ("test_efficientnet", "bn2", (256, 2, 2)),
        ("dlib_face_resnet", "blocks", (256, 2, 2)),
        ("alexnet", "layers", (256, 6, 6)),
    ],
)
def test_grad_cam_finds_the_last_map_of_each_kind_of_network(name, layer, maps):
    size = {"dlib_face_resnet": 150, "alexnet": 224}.get(name, 64)
    model = untrained(name, TWO, freeze="all", size_px=size)
    found = last_map(find_layers(model.backbone), model.backbone.net)
    assert (found.name, found.maps) == (layer, maps)
    images = torch.randint(0, 256, (2, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    cams = [grad_cam(model, images, torch.full((2,), column), found) for column in (0, 1)]
    with torch.no_grad():
        torch.testing.assert_close(torch.stack([cam.score for cam in cams], 1), model(images), atol=1e-4, rtol=1e-4)
    assert max(float(cam.peak.max()) for cam in cams) > 0
    assert all(cam.heat.shape == (2, size, size) for cam in cams)


def test_tokens_and_channels_last_are_read_in_their_places():
    vit = untrained("test_vit", TWO).backbone.net
    (rows, columns), prefix = token_grid(vit)
    assert (rows, columns, prefix) == (4, 4, 1)
    tokens = torch.arange(17.0)[None, :, None].expand(1, 17, 5)
    maps = as_maps(tokens, vit.blocks[0], vit)
    torch.testing.assert_close(maps[0, 0], torch.arange(1.0, 17).view(4, 4))
    assert as_maps(torch.zeros(1, 2, 17, 32), vit.blocks[0], vit) is None  # the heads of attention
    last = untrained("test_mambaout", TWO).backbone.net
    picture = torch.rand(1, 3, 4, 5)
    torch.testing.assert_close(as_maps(picture.permute(0, 2, 3, 1), last.stages, last), picture)


def test_a_network_without_maps_is_said_in_one_sentence():
    model = with_net(nn.Sequential(nn.Flatten(), nn.Linear(192, 2)), nn.Identity())
    with pytest.raises(EyelineError, match="expected a layer that gives maps"):
        last_map(find_layers(model.backbone, 8), model.backbone.net)


def test_strongest_channels_come_first():
    maps = torch.tensor([1.0, -5.0, 3.0, 0.0])[None, :, None, None].expand(2, 4, 3, 3)
    assert strongest(maps, 3) == [1, 2, 0]


def test_filters_of_three_channels_are_colour_tiles_and_others_rows_of_slices():
    weight = torch.zeros(5, 3, 2, 2)
    weight[1, 0], weight[1, 2], weight[4, 1] = 2.0, -1.0, -3.0
    picture, shown = filter_grid(weight, 2)
    assert shown == [1, 4]
    assert picture.shape == (2, 5, 3)
    np.testing.assert_allclose(picture[0, 0], [1, 0.5, 0.25])
    np.testing.assert_allclose(picture[0, 3], [0.5, 0, 0.5])
    assert np.isnan(picture[:, 2]).all()
    np.testing.assert_allclose(filter_grid(weight, 2, is_bgr=True)[0][0, 0], [0.25, 0.5, 1])
    weight = torch.arange(-8.0, 8).view(2, 2, 2, 2)
    picture, shown = filter_grid(weight, 9)
    assert shown == [0, 1]
    assert picture.shape == (5, 5)
    np.testing.assert_allclose(picture[:2, 3:], weight[0, 1] / 8)
    np.testing.assert_allclose(picture[3:, :2], weight[1, 0] / 7)
    weight = torch.arange(1.0, 21).view(5, 1, 2, 2)  # of one channel: a square of tiles, not a column
    picture, shown = filter_grid(weight, 9)
    assert shown == [0, 1, 2, 3, 4]
    assert picture.shape == (5, 8)
    np.testing.assert_allclose(picture[3:, 3:5], weight[4, 0] / 20)
    assert np.isnan(picture[3:, 6:]).all()


def test_all_filters_are_those_that_see_more_than_one_pixel():
    layers = find_layers(untrained().backbone)
    chosen = [layer.name for layer in _filters(layers, LookSpec(filters=["all"]))]
    assert chosen[0] == "conv1.0"
    assert "layer4.0.conv2" in chosen
    assert not any("downsample" in name for name in chosen)
    assert [layer.name for layer in _filters(layers, LookSpec(filters=["first", "conv1.0"]))] == ["conv1.0"]


def test_faces_are_taken_from_each_label_in_turn(faces_set):
    faces = choose_faces(faces_set, 64, "test", 5, None)
    assert faces.labels == ("face", "not_face", "face", "not_face", "face")
    assert len(set(faces.face_ids)) == 5
    named = choose_faces(faces_set, 64, "test", 5, [faces.face_ids[3], faces.face_ids[0]])
    assert named.face_ids == (faces.face_ids[3], faces.face_ids[0])
    assert torch.equal(named.images, faces.images[[3, 0]])
    with pytest.raises(UsageError, match="--faces: expected the face_id"):
        choose_faces(faces_set, 64, "test", 5, ["nobody"])


def test_targets_name_the_columns(faces_set):
    tasks = Tasks(["not_face", "face"], affect=True, units=["au_12"])
    faces = choose_faces(faces_set, 64, "test", 2, None)  # face, not_face
    outputs = torch.tensor([[2.0, 1, 9, 9, 9], [0, 1, 9, 9, 9]])
    for target, expected in {
        "predicted": [0, 1],
        "true": [1, 0],
        "face": [1, 1],
        "arousal": [3, 3],
        "au_12": [4, 4],
    }.items():
        assert target_columns(target, tasks, outputs, faces).tolist() == expected
    with pytest.raises(UsageError, match="--targets: expected one of"):
        target_columns("au_1", tasks, outputs, faces)
    with pytest.raises(UsageError, match="true expects a label"):
        target_columns("true", Tasks(["a", "b"]), outputs, faces)


def test_look_leaves_pictures_and_their_scores(rich_set, tmp_path, capsys):
    model = untrained()
    ckpt, out = save(model, tmp_path / "m.ckpt"), tmp_path / "look"
    args = ["look", "--ckpt", str(ckpt), "--root", str(rich_set), "--out", str(out), "--count", "2"]
    assert (
        main([*args, "--filters", "first", "layer4.0.conv2", "--activations", "layer3", "--channels", "3", "--json"])
        == 0
    )
    result = json.loads(capsys.readouterr().out)
    assert result == json.loads((out / "look.json").read_text())
    names = {path.rpartition("/")[2] for path in result["files"]}
    assert names == {
        "filters-conv1.0.png",
        "filters-layer4.0.conv2.png",
        "activations-layer3.png",
        "gradcam-layer4.png",
    }
    for path in result["files"]:
        with Image.open(path) as picture:
            assert np.asarray(picture.convert("L")).std() > 1
    faces = choose_faces(rich_set, 64, "test", 2, None)
    with torch.no_grad():
        outputs = model(faces.images)
    for i, face in enumerate(result["faces"]):
        assert face["face_id"] == faces.face_ids[i]
        assert face["label"] == read_manifest(rich_set).set_index("face_id")["label"][face["face_id"]]
        assert set(face["targets"]) == {"predicted", "valence", "arousal", "au_4", "au_12"}
        said = face["targets"]["au_12"]
        assert said["column"] == "au_12"
        assert said["score"] == pytest.approx(float(outputs[i, 5]), abs=1e-4)
        assert said["answer"] == pytest.approx(float(outputs[i, 5].sigmoid()), abs=1e-4)
        told = face["targets"]["predicted"]
        assert told["answer"] == pytest.approx(float(outputs[i, :2].softmax(0).max()), abs=1e-4)


def test_look_lists_layers_and_says_what_is_wrong_in_one_sentence(faces_set, tmp_path, capsys):
    ckpt = str(save(untrained(), tmp_path / "m.ckpt"))
    assert main(["look", "--ckpt", ckpt, "--list", "--json"]) == 0
    layers = {layer["name"]: layer for layer in json.loads(capsys.readouterr().out)["layers"]}
    assert layers["conv1.0"]["filters"][1] == 3
    assert layers["layer4"]["maps"] == [96, 2, 2]
    common = ["look", "--ckpt", ckpt, "--root", str(faces_set), "--out", str(tmp_path / "look")]
    wrong = {
        ("--layer", "layer5"): "did you mean layer4",
        ("--filters", "layer4"): "expected a convolution",
        ("--targets", "joy"): "--targets: expected one of",
        ("--count", "0"): "--count must be an integer >= 1",
    }
    for flags, said in wrong.items():
        assert main([*common, *flags]) == 2
        (sentence,) = capsys.readouterr().err.strip().splitlines()
        assert said in sentence
    assert main(["look", "--ckpt", ckpt]) == 2
    assert not (tmp_path / "look").exists()
