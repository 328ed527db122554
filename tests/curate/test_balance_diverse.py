"""Under a cap the most different rows stay, and no person, source or track is lost while another gives two."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate import balance
from curate.balance.choice import choose
from curate.config import Balance

PROPERTY = settings(max_examples=60, deadline=None)


@st.composite
def looks(draw, most=40):
    """Rows of some people, sources and tracks, with hashes of which many are alike, and some without."""
    size, words = draw(st.integers(1, most)), draw(st.sampled_from([1, 4]))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    groups = np.column_stack([rng.integers(0, draw(st.integers(1, 6)), size) for _ in range(3)])
    h = rng.integers(0, 2**63, (size, words)).astype(np.uint64)[rng.integers(0, size, size)]
    h[:, 0] ^= rng.integers(0, 4, size).astype(np.uint64)
    return balance.Looks(groups, h, rng.random(size) < 0.9)


def turns(counts, left):
    """Those whose turn it is: of what has something left, what gave the fewest."""
    open_ = [name for name in left if left[name]]
    fewest = min(counts.get(name, 0) for name in open_)
    return {name for name in open_ if counts.get(name, 0) == fewest}


def choose_slowly(rows, count, looks, already=()):
    """The same choice by its definition, one row at a time."""
    paths = {row: [tuple(looks.groups[row][: level + 1]) for level in range(3)] for row in rows}
    chosen = list(already)
    for _ in range(count):
        rest = [row for row in rows if row not in chosen]
        for level in range(3):
            counts, left = {}, {}
            for row in chosen:
                counts[paths[row][level]] = counts.get(paths[row][level], 0) + 1
            for row in rest:
                left.setdefault(paths[row][level], []).append(row)
            turn = {}
            for parent in {paths[row][level - 1] if level else () for row in rest}:
                inside = {name: some for name, some in left.items() if name[:-1] == parent}
                turn[parent] = turns(counts, inside)
            rest = [row for row in rest if paths[row][level] in turn[paths[row][level - 1] if level else ()]]

        def distance(row):
            if not looks.hashed[row]:
                return -1
            near = [
                int(np.bitwise_count(looks.words[row] ^ looks.words[other]).sum())
                for other in chosen
                if looks.hashed[other]
            ]
            return min(near, default=999)

        chosen.append(max(rest, key=lambda row: (distance(row), -rows.index(row))))
    return chosen[len(already) :]


@PROPERTY
@given(looks(), st.data())
def test_the_choice_is_the_one_by_definition(of, data):
    rows = data.draw(st.permutations(range(len(of.hashed))))
    already = rows[: data.draw(st.integers(0, len(rows) // 3))]
    count = data.draw(st.integers(0, len(rows) - len(already)))
    found = choose(np.asarray(rows), count, of, np.asarray(already, np.int64))
    if count < len(rows) - len(already):
        assert found.tolist() == choose_slowly(list(rows), count, of, already)
    assert sorted({*found.tolist(), *already}) == sorted([*found.tolist(), *already])
    assert len(found) == count


@PROPERTY
@given(looks(200), st.data())
def test_people_sources_and_tracks_are_served_evenly(of, data):
    count = data.draw(st.integers(1, len(of.hashed)))
    found = choose(np.arange(len(of.hashed)), count, of)
    for level in range(3):
        paths = [tuple(group[: level + 1]) for group in of.groups]
        taken = {path: sum(paths[row] == path for row in found) for path in paths}
        for one, gave in taken.items():
            for other, less in taken.items():
                if one[:-1] == other[:-1] and gave > less + 1:
                    assert less == paths.count(other)  # it gave all that it has


@PROPERTY
@given(looks(60), st.integers(1, 20), st.booleans(), st.data())
def test_which_rows_stay_does_not_depend_on_the_order_or_on_how_groups_are_numbered(of, cap, oversample, data):
    size = len(of.hashed)
    spec, labels = Balance(cap=cap, oversample=oversample), np.asarray(["a", "b"], object)[np.arange(size) % 2]
    keys = np.asarray([f"f{row:03d}" for row in range(size)])
    shuffled = np.asarray(data.draw(st.permutations(range(size))), np.int64)
    renamed = np.random.default_rng(0).permutation(50)[of.groups[shuffled]]
    other = balance.Looks(renamed, of.words[shuffled], of.hashed[shuffled])
    repeat = balance.repeats(labels, spec, keys=keys, looks=of)
    again = balance.repeats(labels[shuffled], spec, keys=keys[shuffled], looks=other)
    np.testing.assert_array_equal(again, repeat[shuffled])


def test_farthest_first_keeps_pictures_further_apart_than_chance_does():
    rng = np.random.default_rng(0)
    centres = rng.integers(0, 2**63, (20, 4)).astype(np.uint64)
    h = centres[np.minimum(rng.geometric(0.2, 2000) - 1, 19)]  # most rows show the same few things
    h[:, 0] ^= rng.integers(0, 2**16, len(h)).astype(np.uint64)
    of = balance.Looks(np.zeros((len(h), 3), np.int64), h, np.ones(len(h), np.bool_))
    keys = np.arange(len(h)).astype(str)

    def closest(spec):
        kept = h[balance.repeats(["a"] * len(h), spec, keys=keys, looks=of) > 0]
        assert len(kept) == 20
        apart = np.bitwise_count(kept[:, None] ^ kept[None]).sum(axis=2)
        return int(apart[np.triu_indices(20, 1)].min())

    assert closest(Balance(cap=20)) > 80  # one of each
    assert closest(Balance(cap=20, keep="random")) < 16


def test_rows_without_a_hash_come_last_but_their_person_does_not():
    h = np.zeros((5, 1), np.uint64)
    h[:, 0] = [0, 1, 3, 0, 0]
    people = np.asarray([0, 0, 0, 0, 1])
    of = balance.Looks(np.column_stack([people, people, people]), h, np.asarray([True, True, True, False, False]))
    rows = np.asarray([3, 4, 0, 1, 2])
    assert choose(rows, 2, of).tolist() == [0, 4]
    assert choose(rows, 4, of).tolist() == [0, 4, 2, 1]


@pytest.mark.parametrize("groups", [1, 20_000])
def test_a_large_class_is_capped_in_little_time(groups):
    """20,000 rows to 2,000: 0.1 s; a matrix of all pairs would take 3 GB."""
    rng = np.random.default_rng(0)
    h = rng.integers(0, 2**63, (20_000, 4)).astype(np.uint64)
    of = balance.Looks(np.repeat(rng.integers(0, groups, 20_000)[:, None], 3, axis=1), h, np.ones(20_000, np.bool_))
    repeat = balance.repeats(["a"] * 20_000, Balance(cap=2000), looks=of)
    assert repeat.sum() == 2000
