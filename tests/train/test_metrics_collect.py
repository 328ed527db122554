"""The collector: every row once, over batches, and over two gloo processes with an uneven last batch."""

import copy
import itertools
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from align import EyelineError
from train.metrics import Collector, summary

from .outcomes import ALL, random_outcome

WORKER = """
import json, multiprocessing, sys, warnings
from pathlib import Path
import torch
from tests.train.outcomes import ALL, random_outcome
from train.metrics import Collector, summary

def rows_of(rank, case):
    # thirteen rows, of which -1 is padding; batches of 3, 3, 1
    if case == "no_row":
        return list(range(13)) if rank == 0 else [-1] * 7
    if case.startswith("no_batch"):
        return list(range(13)) if rank == 0 else []
    return (list(range(13)) + [-1])[rank::2] + ([0, 1] if case == "twice" else [])

def main(rank, folder):
    warnings.filterwarnings("ignore", message=".*before the ``update``.*")
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    whole = random_outcome(7, 13)
    results = {}
    for case in ("even", "no_row", "no_batch", "no_batch_after_reset", "twice", "after_reset"):
        collector = Collector()
        if case.endswith("after_reset"):
            collector.update(torch.ones(1, 9), torch.ones(1, 9), torch.tensor([99]), torch.tensor([True]))
            collector.reset()
        wanted = torch.tensor(rows_of(rank, case), dtype=torch.int64)
        for rows in wanted.split(3) if len(wanted) else []:
            valid, at = rows >= 0, rows.clamp(min=0)
            collector.update(whole.outputs[at], whole.targets[at], at, valid)
        outcome = collector.compute()
        same = torch.equal(outcome.outputs, whole.outputs)
        same = same and torch.equal(outcome.targets.nan_to_num(-9), whole.targets.nan_to_num(-9))
        results[case] = {"rows": outcome.rows.tolist(), "same": same, "numbers": summary(outcome, ALL)}
    (folder / f"rank_{rank}.json").write_text(json.dumps(results))
    torch.distributed.destroy_process_group()

if __name__ == "__main__":
    fork = multiprocessing.get_context("fork")  # from one import of torch, which takes longer than all the rest
    ranks = [fork.Process(target=main, args=(rank, Path(sys.argv[1]))) for rank in range(2)]
    for rank in ranks:
        rank.start()
    for rank in ranks:
        rank.join(200)
        rank.kill()
    sys.exit(max(abs(rank.exitcode or 0) for rank in ranks))
"""


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gloo")
    (folder / "worker.py").write_text(WORKER)
    paths = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    env = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(paths)}
    line = [sys.executable, str(folder / "worker.py"), str(folder)]
    done = subprocess.run(line, env=env, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads((folder / f"rank_{rank}.json").read_text()) for rank in range(2)]


@pytest.mark.parametrize("case", ["even", "no_row", "no_batch", "no_batch_after_reset", "twice", "after_reset"])
def test_two_ranks_give_what_one_process_gives(two_ranks, case):
    expected = summary(random_outcome(7, 13), ALL)
    for rank in two_ranks:
        assert rank[case]["rows"] == list(range(13))
        assert rank[case]["same"]
        assert rank[case]["numbers"] == expected


def collect(collector, outcome, batches):
    for rows, valid in batches:
        collector.update(outcome.outputs[rows], outcome.targets[rows], torch.tensor(rows), torch.tensor(valid))
    return collector.compute()


@given(st.permutations(range(11)), st.lists(st.integers(1, 10), max_size=4, unique=True).map(sorted))
@settings(max_examples=40, deadline=None)
def test_the_result_does_not_depend_on_order_or_batches(order, cuts):
    whole = random_outcome(1, 11)
    edges = [0, *cuts, 11]
    batches = [order[a:b] for a, b in itertools.pairwise(edges)]
    found = collect(Collector(), whole, [(rows, [True] * len(rows)) for rows in batches])
    assert torch.equal(found.rows, whole.rows)
    assert torch.equal(found.outputs, whole.outputs)
    assert torch.equal(found.targets.nan_to_num(-9), whole.targets.nan_to_num(-9))


def test_padding_is_left_out_and_a_row_seen_twice_counts_once():
    whole = random_outcome(2, 5)
    found = collect(Collector(), whole, [([3, 1, 0], [True, True, False]), ([1, 4], [True, True])])
    assert found.rows.tolist() == [1, 3, 4]
    assert torch.equal(found.outputs, whole.outputs[[1, 3, 4]])
    assert len(found) == 3


def test_of_a_row_seen_twice_the_first_counts():
    collector = Collector()
    for value in (0.25, 0.5):
        collector.update(torch.full((1, 2), value), torch.zeros(1, 2), torch.tensor([3]), torch.tensor([True]))
    assert collector.compute().outputs.tolist() == [[0.25, 0.25]]


@pytest.mark.parametrize("columns", [1, 2])
def test_one_row_and_one_column_keep_their_dimensions(columns):
    collector = Collector()
    collector.update(torch.ones(1, columns), torch.zeros(1, columns), torch.tensor([5]), torch.tensor([True]))
    found = collector.compute()
    assert (found.rows.shape, found.outputs.shape, found.targets.shape) == ((1,), (1, columns), (1, columns))


def test_types_are_plain_and_gradients_are_let_go():
    collector = Collector()
    outputs = torch.ones(2, 3, dtype=torch.bfloat16, requires_grad=True)
    collector.update(outputs, torch.zeros(2, 3, dtype=torch.float64), torch.tensor([1, 0]), torch.tensor([True, True]))
    found = collector.compute()
    assert (found.rows.dtype, found.outputs.dtype, found.targets.dtype) == (torch.int64, torch.float32, torch.float32)
    assert not found.outputs.requires_grad


def test_reset_forgets_and_more_may_be_collected_after_a_look():
    whole, collector = random_outcome(3, 4), Collector()
    assert collect(collector, whole, [([0, 1], [True, True])]).rows.tolist() == [0, 1]
    assert collect(collector, whole, [([2], [True])]).rows.tolist() == [0, 1, 2]
    collector.reset()
    assert collect(collector, whole, [([3], [True])]).rows.tolist() == [3]


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_a_collector_that_saw_no_batch_is_empty():
    collector = Collector()
    assert len(collector.compute()) == 0
    collect(collector, random_outcome(3, 4), [([0], [True])])
    collector.reset()
    assert len(collector.compute()) == 0


def test_a_collector_that_was_reset_in_inference_mode_goes_on_outside():
    whole, collector = random_outcome(3, 4), Collector()
    with torch.inference_mode():
        collect(collector, whole, [([0, 1], [True, True])])
        collector.reset()
    assert collect(collector, whole, [([2], [True])]).rows.tolist() == [2]


def test_a_split_of_padding_alone_is_empty_with_every_column():
    found = collect(Collector(), random_outcome(3, 4), [([0, 1], [False, False])])
    assert (found.rows.shape, found.outputs.shape, found.targets.shape) == ((0,), (0, 9), (0, 9))


def test_copies_and_pickles_keep_what_was_collected():
    whole, collector = random_outcome(3, 4), Collector()
    collect(collector, whole, [([2], [True])])
    for other in (copy.deepcopy(collector), pickle.loads(pickle.dumps(collector))):  # noqa: S301 - our own
        assert collect(other, whole, [([0], [True])]).rows.tolist() == [0, 2]
    assert collector.compute().rows.tolist() == [2]
    assert collector.state_dict() == {}  # no checkpoint holds a split's rows


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_outputs_of_a_model_that_diverged_are_refused(value):
    whole = random_outcome(4, 5)
    whole.outputs[[1, 3], 2] = value
    with pytest.raises(EyelineError, match=r"finite numbers \(found NaN or infinite ones in 2 of 5 rows\)"):
        collect(Collector(), whole, [(list(range(5)), [True] * 5)])
