"""Functions that numba compiles: what becomes of them where their files are damaged, or cannot be written."""

import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numba
import numpy as np
import pytest
from numba.core.caching import FunctionCache

from align import compiled


def _double(values: np.ndarray) -> float:
    return 2 * values.sum()


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which numba keeps what it compiled."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "kept"))
    return tmp_path / "kept"


def _call() -> tuple[float, int]:
    """Compile the function as a new process does; give its result, and how often it was read from the disk."""
    double = compiled(_double)
    return double(np.arange(4.0)), sum(double.stats.cache_hits.values())


def test_what_was_compiled_is_kept(kept: Path) -> None:
    assert _call() == (12.0, 0)
    assert sorted(path.suffix for path in kept.rglob("*.nb*")) == [".nbc", ".nbi"]
    assert _call() == (12.0, 1)


@pytest.mark.parametrize("suffix", [".nbc", ".nbi"])
@pytest.mark.parametrize("damage", [lambda _: b"", lambda whole: whole[: len(whole) // 2], lambda _: b"no pickle"])
def test_a_damaged_file_is_made_anew(suffix: str, damage: Callable[[bytes], bytes], kept: Path) -> None:
    _call()
    (path,) = kept.rglob(f"*{suffix}")
    path.write_bytes(damage(path.read_bytes()))
    assert _call() == (12.0, 0)
    assert _call() == (12.0, 1)


@contextmanager
def _full_disk() -> Iterator[None]:
    bounds = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, bounds[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, bounds)


def test_a_full_disk_only_costs_the_compilation(kept: Path) -> None:
    with _full_disk():
        assert _call() == (12.0, 0)
    assert not [path for path in kept.rglob("*") if path.is_file()]
    assert _call() == (12.0, 0)
    assert _call() == (12.0, 1)


@pytest.mark.parametrize("suffix", [".nbc", ".nbi"])
def test_a_damaged_file_on_a_full_disk_only_costs_the_compilation(suffix: str, kept: Path) -> None:
    _call()
    (path,) = kept.rglob(f"*{suffix}")
    path.write_bytes(b"")
    with _full_disk():
        assert _call() == (12.0, 0)
    assert _call() == (12.0, 0)
    assert _call() == (12.0, 1)


def test_a_folder_that_cannot_hold_a_cache_only_costs_the_compilation(
    kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FunctionCache._impl_class, "_locator_classes", [])
    with pytest.raises(RuntimeError, match="no locator"):
        numba.njit(cache=True)(_double)
    assert _call() == (12.0, 0)
    assert not kept.exists()


def test_compiled_code_runs_without_pythons_lock() -> None:
    assert compiled(_double).targetoptions["nogil"]
