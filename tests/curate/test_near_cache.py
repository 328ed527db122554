"""What was found before is of use again and never wrong: the same file and pairs as from scratch, whatever was kept."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate import near_cache, neighbours
from curate.near_cache import NEAR_PAIRS, Kind, find_neighbours

KIND = Kind("phash256/1", 31)


def near_hashes(rng, count, words=4):
    """Hashes of which many are within 31 bits of one another."""
    centres = rng.integers(0, 2**64, (1 + count // 6, words), dtype=np.uint64)
    noise = np.packbits(rng.random((count, 64 * words)) < 0.05, axis=1).view(np.uint64).reshape(count, words)
    return centres[rng.integers(0, len(centres), count)] ^ noise


def same(a, b):
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in ("hashes", "low", "high", "distance"))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 60), st.booleans(), st.sampled_from([1, 4]))
def test_a_set_that_grew_and_lost_faces_has_the_file_of_one_made_from_scratch(
    tmp_path_factory, seed, count, mirror, words
):
    rng = np.random.default_rng(seed)
    grown, scratch = tmp_path_factory.mktemp("grown"), tmp_path_factory.mktemp("scratch")
    h = near_hashes(rng, count, words)
    mirrored = rng.permutation(h) if mirror else None
    kind = Kind("any/1", 20, mirror)
    for share in (0.5, 0.0, 0.8, 1.0):
        some = rng.permutation(np.flatnonzero(rng.random(count) < share))
        found = find_neighbours(grown, kind, h[some], None if mirrored is None else mirrored[some])
        assert same(found, neighbours.search(h[some], 20, None if mirrored is None else mirrored[some]))
    assert same(find_neighbours(scratch, kind, h, mirrored), found)
    assert (grown / NEAR_PAIRS).read_bytes() == (scratch / NEAR_PAIRS).read_bytes()
    assert [path.name for path in grown.iterdir()] == [NEAR_PAIRS]


def test_only_what_is_new_is_searched_and_an_unchanged_set_not_at_all(tmp_path, monkeypatch):
    asked = []
    whole = neighbours.join
    monkeypatch.setattr(neighbours, "join", lambda *given: asked.append(int(given[3].sum())) or whole(*given))
    h = near_hashes(np.random.default_rng(0), 300)
    find_neighbours(tmp_path, KIND, h[:290])
    find_neighbours(tmp_path, KIND, h)
    written = (tmp_path / NEAR_PAIRS).stat().st_mtime_ns
    found = find_neighbours(tmp_path, KIND, h[::-1])
    assert asked == [290, 10]
    assert (tmp_path / NEAR_PAIRS).stat().st_mtime_ns == written
    assert same(found, neighbours.search(h, 31))


@pytest.mark.parametrize("other", [Kind("phash256/2", 31), Kind("phash256/1", 30), Kind("phash256/1", 31, True)])
def test_a_file_of_another_search_is_replaced(tmp_path, other):
    h = near_hashes(np.random.default_rng(0), 100)
    find_neighbours(tmp_path, KIND, h)
    assert near_cache.read_neighbours(tmp_path / NEAR_PAIRS, other) is None
    find_neighbours(tmp_path, other, h, h[::-1] if other.mirrored else None)
    assert near_cache.read_neighbours(tmp_path / NEAR_PAIRS, KIND) is None
    assert near_cache.read_neighbours(tmp_path / NEAR_PAIRS, other) is not None


def _tampered(path, table):
    distance = table.column("distance").combine_chunks()
    moved = pa.ListArray.from_arrays(distance.offsets, pa.array(np.asarray(distance.values) ^ 1))
    changed = table.set_column(2, "distance", moved).replace_schema_metadata(table.schema.metadata)
    pq.write_table(changed, path)


def _shortened(path, table):
    pq.write_table(table.slice(0, len(table) - 1), path)


def _foreign(path, table):
    pq.write_table(pa.table({"hash": [1, 2]}).replace_schema_metadata(table.schema.metadata), path)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path, _: path.write_bytes(path.read_bytes()[:-7]),
        lambda path, _: path.write_bytes(b""),
        lambda path, _: path.write_bytes(b"no parquet at all, but long enough to be looked at"),
        lambda path, _: path.unlink(),
        lambda path, table: pq.write_table(table.replace_schema_metadata(None), path),
        lambda path, table: pq.write_table(table.replace_schema_metadata({b"eyeline": b"{"}), path),
        _tampered,
        _shortened,
        _foreign,
    ],
)
def test_a_broken_file_is_searched_for_anew(tmp_path, damage):
    h = near_hashes(np.random.default_rng(0), 100)
    path = tmp_path / NEAR_PAIRS
    wanted = find_neighbours(tmp_path, KIND, h)
    whole = path.read_bytes()
    damage(path, pq.read_table(path))
    assert near_cache.read_neighbours(path, KIND) is None
    assert same(find_neighbours(tmp_path, KIND, h), wanted)
    assert path.read_bytes() == whole


def test_a_set_too_dense_for_a_list_keeps_no_file(tmp_path, monkeypatch):
    h = near_hashes(np.random.default_rng(0), 100)
    find_neighbours(tmp_path, KIND, h)
    monkeypatch.setattr(near_cache, "MOST_PAIRS", 3)
    assert find_neighbours(tmp_path, KIND, near_hashes(np.random.default_rng(1), 100)) is None
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_kept_where_there_is_no_folder(tmp_path):
    h = near_hashes(np.random.default_rng(0), 50)
    assert same(find_neighbours(tmp_path / "none", KIND, h), neighbours.search(h, 31))
    assert list(tmp_path.iterdir()) == []
