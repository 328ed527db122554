"""The compiled choice of the most different rows: spread over groups, farthest point first; arrays in, arrays out.

Groups are nested three deep: outer, middle, inner. Rows lie sorted by group, so that each group is a run of rows.
"""

from typing import Any

import numpy as np

from align import compiled

from ..hamming import popcount

_NO_HASH = 1
_TOUCHING = 2  # distances are kept so much higher; 0 is for rows that are chosen already
_UNCHOSEN = 1 << 20  # above any distance: nothing was chosen yet
_LOW = 0xFFFFFFFF


@compiled
def farthest_first(words: Any, hashed: Any, rank: Any, tree: Any, plan: Any) -> Any:
    """Choose rows one by one and give them in that order.

    Of the rows that may be chosen (see `_open_outer`), the next is that whose nearest chosen row is the farthest; rows
    without a hash come after those, and the lowest rank decides among equals.

    Args:
        words: uint64 [W, N], hashes; W is 1 or 4.
        hashed: bool [N], which rows have one.
        rank: int64 [N], each of 0 to N - 1 once.
        tree: For each level, outer first, where each group begins: among the groups of the next level, and of the
            innermost among the rows; three int64 arrays, each with the end behind it.
        plan: int64 [1 + F], how many to choose, then the rows that are chosen already and so come first.

    Returns:
        int64 [plan[0]].
    """
    size = len(rank)
    key, by_rank = np.empty(size, np.int64), np.empty(size, np.int64)
    for row in range(size):  # a distance, and how early the row comes among equals: one number to compare
        key[row] = ((_UNCHOSEN if hashed[row] else _NO_HASH) << 32) | (size - rank[row])
        by_rank[rank[row]] = row
    parents, left = _parents(tree), _sizes(tree)
    given = (np.zeros(len(left[0]), np.int64), np.zeros(len(left[1]), np.int64), np.zeros(len(left[2]), np.int64))
    live, chosen = np.zeros(size, np.int64), np.empty(plan[0], np.int64)  # live: all bits set where it may be chosen
    opened, top = 0, np.int64(0)
    for step in range(plan[0]):
        if step < len(plan) - 1:
            row = plan[step + 1]
        else:
            if opened == 0:  # after rows that were chosen already, and at the very first
                opened = _open_round(tree, left, given, live)
                top = _highest(key, live)
            row = by_rank[size - (top & _LOW)]
        chosen[step] = row
        inner = parents[2][row]
        middle = parents[1][inner]
        outer = parents[0][middle]
        for level, group in ((0, outer), (1, middle), (2, inner)):
            given[level][group] += 1
            left[level][group] -= 1
        if step >= len(plan) - 1:
            opened -= 1
            live[tree[2][tree[1][tree[0][outer]]] : tree[2][tree[1][tree[0][outer + 1]]]] = 0
            if opened == 0:
                opened = _open_round(tree, left, given, live)
        top = _compare(words, hashed, row, key, live)
    return chosen


@compiled
def _parents(tree: Any) -> Any:
    """Give the group of the next level up: of each middle group, of each inner group, of each row."""
    above = (np.empty(tree[0][-1], np.int64), np.empty(tree[1][-1], np.int64), np.empty(tree[2][-1], np.int64))
    for level in range(3):
        for group in range(len(tree[level]) - 1):
            above[level][tree[level][group] : tree[level][group + 1]] = group
    return above


@compiled
def _sizes(tree: Any) -> Any:
    """Count the rows of each group of each level."""
    rows = (tree[2][tree[1][tree[0]]], tree[2][tree[1]], tree[2])
    return (np.diff(rows[0]), np.diff(rows[1]), np.diff(rows[2]))


@compiled
def _open_round(tree: Any, left: Any, given: Any, live: Any) -> Any:
    """Let in the outer groups that gave the fewest rows, of those that have some left; give their number."""
    lowest, opened = _lowest(left[0], given[0], 0, len(left[0])), 0
    for outer in range(len(left[0])):
        if left[0][outer] and given[0][outer] == lowest:
            _open_outer(tree, outer, left, given, live)
            opened += 1
    return opened


@compiled
def _open_outer(tree: Any, outer: int, left: Any, given: Any, live: Any) -> None:
    """Let in, of an outer group, the middle groups that gave the fewest rows, and of each the same inner groups."""
    first, last = tree[0][outer], tree[0][outer + 1]
    lowest = _lowest(left[1], given[1], first, last)
    for middle in range(first, last):
        begin, end = tree[1][middle], tree[1][middle + 1]
        if left[1][middle] and given[1][middle] == lowest:
            fewest = _lowest(left[2], given[2], begin, end)
            for inner in range(begin, end):
                if left[2][inner] and given[2][inner] == fewest:
                    live[tree[2][inner] : tree[2][inner + 1]] = -1


@compiled
def _lowest(left: Any, given: Any, first: int, last: int) -> Any:
    """Find how many rows the groups gave that gave the fewest, of those that have some left."""
    lowest = np.int64(_UNCHOSEN) << 32
    for group in range(first, last):
        if left[group] and given[group] < lowest:
            lowest = given[group]
    return lowest


@compiled
def _highest(key: Any, live: Any) -> Any:
    top = np.int64(0)
    for row in range(np.uint64(len(key))):
        top = max(top, key[row] & live[row])
    return top


@compiled
def _compare(words: Any, hashed: Any, row: int, key: Any, live: Any) -> Any:
    """Take out the chosen row, bring the others' distances up to date and give the highest that is let in.

    Four words and no branch compile to vector instructions.
    """
    key[row] = 0
    if not hashed[row]:
        return _highest(key, live)
    top = np.int64(0)
    if len(words) == 1:
        word = words[0, row]
        for other in range(np.uint64(len(key))):
            apart = np.int64(popcount(word ^ words[0, other])) + _TOUCHING
            key[other] = min(key[other], (apart << 32) | (key[other] & _LOW))
            top = max(top, key[other] & live[other])
        return top
    q0, q1, q2, q3 = words[0, row], words[1, row], words[2, row], words[3, row]
    for other in range(np.uint64(len(key))):
        half = popcount(q0 ^ words[0, other]) + popcount(q1 ^ words[1, other])
        apart = np.int64(half + popcount(q2 ^ words[2, other]) + popcount(q3 ^ words[3, other])) + _TOUCHING
        key[other] = min(key[other], (apart << 32) | (key[other] & _LOW))
        top = max(top, key[other] & live[other])
    return top
