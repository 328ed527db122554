"""Names from outside become names of files that are safe, distinct, and readable where they can be."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.export.names import UNLABELLED, safe_names

HOSTILE = [
    "", ".", "..", "/", "a/b", "a\\b", "../../up", "/etc/passwd", "C:\\x", "CON", "con", "nul", "COM1", "lpt¹",
    "aux.txt", "a.", "a ", " a", "-rf", ".hidden", "a\0b", "a\nb", "happy", "Happy", "HAPPY", "größe",
    "gro\u0308ße", "🙂", "顔", "x" * 300, "x" * 299 + "y", UNLABELLED, "Unlabelled", "a*b", "a?b", "a:b", "\ud800",
    "\u202egpj",
]  # fmt: skip


def check(names):
    safe = safe_names(names)
    assert set(safe) == set(names)
    folded = {unicodedata.normalize("NFC", name.casefold()) for name in safe.values()}
    assert len(folded) == len(safe)  # distinct also on disks that cannot tell case
    for name in safe.values():
        assert name
        assert len(name.encode()) <= 100
        assert name.casefold() not in {UNLABELLED, "con", "nul", "aux", "prn", "com1"}
        assert not set(name) & set('/\\.:*?"<>|\0\n~')
        assert name[0] not in "- "
        assert name[-1] != " "
    return safe


def test_hostile_names_become_safe_and_stay_distinct(tmp_path):
    safe = check(HOSTILE)
    for name in safe.values():
        (tmp_path / name).mkdir()
        assert (tmp_path / name).resolve().parent == tmp_path.resolve()
    assert len(list(tmp_path.iterdir())) == len(HOSTILE)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(max_size=20) | st.sampled_from(HOSTILE), max_size=12))
def test_any_names_become_safe_and_stay_distinct(names):
    safe = check(names)
    assert safe_names(reversed(names)) == safe


@pytest.mark.parametrize("name", ["happy", "not_face", "not face", "12", "a+b", "très", "98c9bafea69d-00000000-00"])
def test_plain_names_stay_as_they_are(name):
    assert safe_names([name, "other"])[name] == name


def test_a_name_that_looks_like_anothers_digest_does_not_take_its_place():
    made = safe_names(["a/b"])["a/b"]
    both = check(["a/b", made])
    assert both[made] == made
    assert both["a/b"] != made
    assert both["a/b"].startswith("a_b-")
