"""What the tests of pictures and of the model store share."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from align import MODELS

from .model_server import BODY, Script, serving


@pytest.fixture
def photo(astronaut: np.ndarray) -> np.ndarray:
    """uint8 [190, 190, 3], little more than a face, which is found quickly."""
    return np.ascontiguousarray(astronaut[10:200, 130:320])


@pytest.fixture(scope="module")
def server() -> Iterator[Script]:
    """A server that behaves as its script says."""
    with serving() as script:
        yield script


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's cache of model files, empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home-cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path / "home-cache" / "eyeline" / "models"


@pytest.fixture
def target(server: Script, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where model.dat, which the server has, is going to be."""
    server.load(BODY)
    monkeypatch.setitem(MODELS, "model.dat", server.card(BODY))
    return cache / "model.dat"
