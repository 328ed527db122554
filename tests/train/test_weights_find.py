from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
import torch

from align import ModelError, UsageError, find_model
from train.backbones import BackboneSpec, create_backbone
from train.weights import CARDS, Source, cards_table, fetch, resolve

DOCS = Path(__file__).parents[2] / "docs" / "how-to" / "weights.md"


@pytest.fixture(autouse=True)
def store(monkeypatch, tmp_path):
    folder = tmp_path / "store"
    folder.mkdir()
    monkeypatch.setenv("EYELINE_MODELS", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder


def save(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"a": torch.ones(1)}, path)
    return path


def test_what_weights_may_say():
    facenet = CARDS["facenet-casia"]
    assert resolve(None, "resnet18") == resolve("none", "dlib_face_resnet") == Source()
    assert resolve(None, "dlib_face_resnet") == resolve("dlib", "dlib_face_resnet") == Source(CARDS["dlib"])
    assert resolve("timm", "resnet18") == Source(library="timm")
    assert resolve("facenet-casia", "inception_resnet_v1") == Source(facenet)
    assert resolve("facenet-casia:my.pt", "inception_resnet_v1") == Source(facenet, Path("my.pt"))
    assert resolve("runs/x.pt", "resnet18") == Source(None, Path("runs/x.pt"))
    published = f"downloads/{facenet.files[0]}"
    assert resolve(published, "inception_resnet_v1") == Source(facenet, Path(published))


def test_a_word_that_is_nothing_lists_what_there_is():
    with pytest.raises(
        UsageError, match=r"expected none, timm or torchvision.*got 'facnet-casia'.*did you mean facenet"
    ):
        resolve("facnet-casia", "inception_resnet_v1")
    with pytest.raises(UsageError, match="got 'dlib:'"):
        resolve("dlib:", "dlib_face_resnet")


def test_a_card_of_another_network_names_its_own():
    with pytest.raises(UsageError, match=r"vggface2-resnet50 is for resnet50_caffe \(got resnet50\)"):
        create_backbone(BackboneSpec("resnet50", weights="vggface2-resnet50"))
    with pytest.raises(UsageError, match=r"set model\.backbone\.name to iresnet18"):
        create_backbone(BackboneSpec("iresnet50", weights="/models/adaface_ir18_vgg2.ckpt"))


def test_a_file_in_the_store_or_the_cache_is_found(store, tmp_path):
    card = CARDS["adaface-ir50"]
    in_cache = save(tmp_path / "cache" / "eyeline" / "models" / card.files[1])
    stored, title = fetch(Source(card))
    assert list(stored.tensors) == ["a"]
    assert title == f"adaface-ir50 ({in_cache}, unverified)"
    in_store = save(store / card.files[1])
    assert str(in_store) in fetch(Source(card))[1]


def test_several_files_of_one_card_are_not_guessed_between(store):
    card = CARDS["adaface-ir50"]
    save(store / card.files[0])
    named = save(store / card.files[1])
    with pytest.raises(UsageError, match=r"expected one file of adaface-ir50 .*name one: adaface-ir50:FILE"):
        fetch(Source(card))
    assert str(named) in fetch(Source(card, named))[1]


def test_a_missing_file_says_where_to_get_it_and_where_to_put_it(tmp_path):
    with pytest.raises(ModelError) as caught:
        create_backbone(BackboneSpec("resnet50_caffe", weights="vggface2-resnet50"))
    said = str(caught.value)
    card = CARDS["vggface2-resnet50"]
    for part in (card.files[0], card.url, card.licence, "EYELINE_MODELS", str(tmp_path / "cache"), f"{card.name}:FILE"):
        assert part in said
    assert "\n" not in said


def test_a_hub_that_cannot_be_reached_is_one_sentence(monkeypatch):
    def unreachable(*_, **__):
        raise OSError("no route\nmore")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", unreachable)
    with pytest.raises(ModelError, match=r"vit-tiny-cosface: expected .*the hub says: no route\).*huggingface.co"):
        fetch(Source(CARDS["vit-tiny-cosface"]))


def test_a_hub_model_is_asked_for_by_its_repository(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda *a: asked.append(a) or str(save(tmp_path / "m.pt")))
    fetch(Source(CARDS["convnext-atto-cosface"]))
    assert asked == [("gaunernst/convnext_atto.cosface_ms1mv3", "model.safetensors")]


def test_bytes_that_are_not_the_published_ones_are_refused(store):
    card = CARDS["dlib"]
    (store / card.files[0]).write_bytes(find_model(card.files[0]).read_bytes()[:-1] + b"x")
    with pytest.raises(ModelError, match="sha256"):
        create_backbone(BackboneSpec("dlib_face_resnet", weights="dlib"))


def test_the_sha256_of_a_card_is_held_against_a_file_of_its_name(store):
    card = CARDS["facenet-casia"]
    path = save(store / card.files[0])
    right = replace(card, sha256=sha256(path.read_bytes()).hexdigest())
    assert fetch(Source(right))[1].endswith(", verified)")
    with pytest.raises(ModelError, match=r"expected sha256 0+ \(found"):
        fetch(Source(replace(card, sha256="0" * 64)))


def test_a_network_whose_files_differ_wants_to_know_the_card():
    with pytest.raises(UsageError, match=r"expected CARD:FILE for iresnet18.*got my.ckpt\); cards: adaface-ir18"):
        create_backbone(BackboneSpec("iresnet18", weights="my.ckpt"))
    with pytest.raises(UsageError, match="cards: none yet"):
        create_backbone(BackboneSpec("iresnet34", weights="my.ckpt"))


def test_a_library_that_publishes_nothing_for_the_network_is_refused():
    with pytest.raises(UsageError, match=r"timm publishes weights for test_resnet \(got torchvision\)"):
        create_backbone(BackboneSpec("test_resnet", weights="torchvision"))
    with pytest.raises(UsageError, match=r"no library publishes weights for iresnet18 .*a card or a file"):
        create_backbone(BackboneSpec("iresnet18", weights="timm"))


def test_the_table_says_where_each_file_lies(store):
    columns, rows = cards_table()
    assert [len(row) for row in rows] == [len(columns)] * len(CARDS)
    save(store / CARDS["facenet-casia"].files[0])
    columns, rows = cards_table(places=True)
    found = {row[0]: row[-1] for row in rows}
    assert columns[-1] == "found"
    assert found["facenet-casia"] == str(store / CARDS["facenet-casia"].files[0])
    assert found["facenet-vggface2"] == ""


def test_the_guide_lists_every_card_as_it_is():
    text = DOCS.read_text()
    for row in cards_table()[1]:
        assert f"| `{row[0]}` | `{row[1]}` | {row[2]} | {row[3]} |" in text, row[0]
    for card in CARDS.values():
        assert card.licence in text, card.name
        assert card.url in text, card.name
        assert all(f"`{name}`" in text for name in card.files), card.name
