"""The stage balances the training part alone, by labels or by action units, and says what it did."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from align import UsageError
from curate import cli, stages
from curate.config import Balance, Dataset, Source
from curate.manifest import FIELDS, schema, to_pandas
from curate.report.tallies import class_rows
from tests.curate.report_sets import face, record_of

OUT = Path("the stage does not look into the folder")
SPECS = st.builds(
    Balance,
    cap=st.sampled_from([None, "median", "smallest", 2]),
    oversample=st.sampled_from([False, True, "sqrt", "effective"]),
    keep=st.sampled_from(["diverse", "random"]),
    by=st.sampled_from([None, "label"]),
)


def rows_of(made):
    return to_pandas(pa.Table.from_pylist(made, schema=schema({key for row in made for key in row} - {*FIELDS})))


def run(rows, spec):
    return stages.balance_training(rows, Dataset(source=Source("images", "a"), balance=spec), OUT)


@settings(max_examples=40, deadline=None)
@given(SPECS, st.integers(0, 999))
def test_only_kept_training_rows_are_balanced(spec, seed):
    rng = np.random.default_rng(seed)
    sides, labels = (
        rng.choice(["train", "val", "test"], 60),
        rng.choice(["sad", "happy", "rare"], 60, p=[0.6, 0.3, 0.1]),
    )
    made = [face(n, split=side, label=label) for n, (side, label) in enumerate(zip(sides, labels, strict=True))]
    made[7] |= {"drop_reason": "blurred", "split": None}
    made[8] |= {"hash": None}
    made[9] |= {"subject": None, "track": "t1"}
    rows, said = run(rows_of(made), spec)
    assert rows.loc[7, "drop_reason"] == "blurred"
    assert pd.isna(rows.loc[7, "repeat"])
    rest = rows.drop(index=7)
    held_out = rest[rest["split"] != "train"]
    assert (held_out["repeat"] == 1).all()
    assert held_out["drop_reason"].isna().all()
    training = rest[rest["split"] == "train"]
    assert (training["repeat"].eq(0) == training["drop_reason"].eq("over_cap")).all()
    assert said["by"] == "label"
    for item in said["classes"]:
        own = training[training["label"] == item["label"]]
        assert (item["before"], item["kept"]) == (len(own), int((own["repeat"] > 0).sum()))
        assert item["shown"] == own["repeat"].sum()
    counted = {row.label: (row.before_cap, row.shown) for row in class_rows(rows, [], ["train"])}
    assert {i["label"]: (i["before"], i["shown"]) for i in said["classes"]}.items() <= counted.items()
    again, twice = run(rows, spec)
    pd.testing.assert_frame_equal(again, rows)
    assert twice == said


def test_no_person_is_lost_while_another_keeps_two_and_the_most_different_pictures_stay():
    same = np.random.default_rng(5).bytes(32)
    made = [face(n, label="a", subject="anna", hash=same) for n in range(20)]
    made += [face(20 + n, label="a", subject=None, source=f"photo{n}") for n in range(3)]
    made[11]["hash"] = np.random.default_rng(6).bytes(32)

    def kept(**settings):
        rows, _ = run(rows_of(made), Balance(cap=6, **settings))
        return set(rows.loc[rows["drop_reason"].isna(), "face_id"])

    for seed in range(6):
        assert kept(seed=seed) > {"f000011", "f000020", "f000021", "f000022"}
    assert any("f000011" not in kept(seed=seed, keep="random") for seed in range(6))


def coded(**units):
    return [
        face(n, label=None, split="train" if n < 40 else "val") | {name: rule(n) for name, rule in units.items()}
        for n in range(50)
    ]


def test_rows_without_labels_are_balanced_by_their_action_units():
    made = coded(au_12=lambda n: float(n % 2), au_2=lambda n: float(n % 10 == 0), au_9=lambda _: None)
    rows, said = run(rows_of(made), Balance(oversample=True))
    assert said["by"] == "au"
    assert [(i["unit"], i["before"], i["kept"], i["shown"]) for i in said["units"]] == [
        ("au_2", 4, 4, 20),
        ("au_12", 20, 20, 20),
        ("(none)", 16, 16, 16),
    ]
    assert (rows.loc[rows["split"] == "val", "repeat"] == 1).all()
    capped, said = run(rows_of(made), Balance(cap=4))
    assert [i["kept"] for i in said["units"]] == [4, 4, 4]
    assert capped["drop_reason"].eq("over_cap").sum() == 40 - 12


def test_the_key_by_decides_where_a_set_has_both():
    made = [row | {"label": "x" if n % 4 else "y"} for n, row in enumerate(coded(au_1=lambda n: float(n < 5)))]
    assert run(rows_of(made), Balance())[1]["by"] == "label"
    assert "units" not in run(rows_of(made), Balance())[1]
    rows, said = run(rows_of(made), Balance(by="au", cap=5))
    assert (said["by"], said["units"][0]["kept"]) == ("au", 5)
    assert [i["label"] for i in said["classes"]] == ["x", "y"]
    assert rows["repeat"].eq(0).sum() == 30


def test_action_units_that_nobody_coded_are_no_reason_to_balance_by_them():
    with pytest.raises(UsageError, match=r'balance.by = "au": expected training rows with action units \(found none\)'):
        run(rows_of([face(0)]), Balance(by="au"))
    _, said = run(rows_of(coded(au_1=lambda _: None)), Balance(cap=3))
    assert said["by"] == "label"


def test_the_record_is_plain_and_the_command_tables_the_units(capsys):
    _, said = run(rows_of(coded(au_12=lambda n: float(n % 2), au_2=lambda n: float(n % 10 == 0))), Balance(cap=9))
    record = record_of([], balance=json.loads(json.dumps(said))) | {"rows": {"kept": 50}}
    cli._show(record, OUT, as_json=False)
    lines = [line.replace("│", " ").split() for line in capsys.readouterr().out.splitlines()]
    assert ["au_12", "40", "20", "9", "9", "9", "0.5", "0.4091"] in lines
    assert ["(none)", "40", "16", "9", "9", "9", "0.4", "0.4091"] in lines
