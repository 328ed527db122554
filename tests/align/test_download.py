import bz2
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from align import MODELS, ModelError, find_model
from align.http_get import CutOffError, Patience, _next_url
from align.models import PINNED, VERIFIED, check_file
from align.store import fetch

from .model_server import BODY, NPY, QUICK, Script, refuse

pytestmark = pytest.mark.usefixtures("cache")

SHORT_OF_TIME = Patience(stall_s=0.4, attempts=3, pause_s=0)


def test_a_fetched_file_is_whole_checked_and_alone(server: Script, target: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    got = fetch("model.dat", progress=lambda here, total: seen.append((here, total)))
    assert (got.place, got.path, got.state) == ("cache", target, VERIFIED)
    assert target.read_bytes() == BODY
    assert [path.name for path in target.parent.iterdir()] == ["model.dat"]
    assert seen[-1] == (len(BODY), len(BODY))
    assert seen == sorted(seen)
    assert find_model("model.dat") == target
    fetch("model.dat")
    assert len(server.asked) == 1, "what is here is not fetched again"


@pytest.mark.parametrize("first", ["cut", "drop", "e500", "e416", "redirect"])
def test_what_can_be_mended_is(server: Script, target: Path, first: str) -> None:
    server.load(BODY, first)
    fetch("model.dat", patience=QUICK)
    assert target.read_bytes() == BODY


def test_a_cut_download_goes_on_where_it_was_cut(server: Script, target: Path) -> None:
    server.load(BODY, "cut", "cut")
    fetch("model.dat", patience=QUICK)
    assert target.read_bytes() == BODY
    assert server.ranges == [None, "bytes=100000-", "bytes=150000-"]
    assert server.asked[1]["If-Range"] == '"one"'


def test_another_run_goes_on_with_what_an_earlier_one_left(server: Script, target: Path) -> None:
    server.load(BODY, "cut", "e404")
    assert "HTTP 404" in refuse(target)
    fetch("model.dat")
    assert target.read_bytes() == BODY
    assert server.ranges == [None, "bytes=100000-", "bytes=100000-"]


@pytest.mark.parametrize("second", ["no_range", "wrong_range", "changed_206", "e416"])
def test_a_server_that_does_not_go_on_properly_makes_it_start_over(server: Script, target: Path, second: str) -> None:
    server.load(BODY, "cut", second)
    fetch("model.dat", patience=QUICK)
    assert target.read_bytes() == BODY
    assert server.ranges == [None, "bytes=100000-"] + [None] * (second != "no_range")


def test_a_file_that_changed_between_attempts_is_fetched_anew(server: Script, target: Path) -> None:
    server.load(BODY, "old_cut")
    fetch("model.dat", patience=QUICK)
    assert target.read_bytes() == BODY
    assert server.asked[1]["If-Range"] == '"old"'


@pytest.mark.parametrize("tag", [None, 'W/"weak"'])
def test_without_a_name_for_its_version_a_part_is_not_gone_on_with(server: Script, target: Path, tag: str) -> None:
    server.load(BODY, "cut", tag=tag)
    fetch("model.dat", patience=QUICK)
    assert target.read_bytes() == BODY
    assert server.ranges == [None, None]


def test_a_part_of_another_url_or_size_or_with_odd_notes_is_not_gone_on_with(server: Script, target: Path) -> None:
    server.load(BODY, "cut", "e404")
    refuse(target)
    notes = target.with_name("model.dat.part.json")
    good = json.loads(notes.read_text())
    for bad in (
        {**good, "url": "http://other.org"},
        {**good, "total": 5},
        {**good, "total": "x"},
        {"url": 1},
        [],
        "broken",
    ):
        notes.write_text(bad if bad == "broken" else json.dumps(bad))
        target.with_name("model.dat.part").write_bytes(b"something else")
        server.load(BODY)
        fetch("model.dat")
        assert server.ranges == [None]
        assert target.read_bytes() == BODY
        target.unlink()


def test_a_run_that_ended_before_the_rename_asks_the_server_nothing(server: Script, target: Path) -> None:
    server.load(BODY, "cut", "e404")
    refuse(target)
    target.with_name("model.dat.part").write_bytes(BODY)
    server.asked.clear()
    fetch("model.dat")
    assert target.read_bytes() == BODY
    assert server.asked == []


def test_corrupt_bytes_are_refused_and_not_kept(server: Script, target: Path) -> None:
    server.load(BODY, "corrupt")
    told = refuse(target)
    assert MODELS["model.dat"].sha256 in told
    assert list(target.parent.iterdir()) == []


def test_corrupt_bytes_of_an_earlier_attempt_cost_one_more_download(server: Script, target: Path) -> None:
    server.load(BODY, "corrupt_cut")
    fetch("model.dat", patience=QUICK)
    assert target.read_bytes() == BODY
    assert server.ranges == [None, "bytes=100000-", None]


def test_a_server_that_always_corrupts_and_cuts_is_given_up(server: Script, target: Path) -> None:
    server.load(BODY, *["corrupt_cut", "whole"] * 5)
    assert "expected sha256" in refuse(target)
    assert len(server.asked) == 4


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ("too_many", "200,000 bytes (found 250,000)"),
        ("too_many_chunked", "200,000 bytes (found more than 200,000)"),
        ("short", "200,000 bytes (found 199,900)"),
        ("e404", "HTTP 404"),
        ("e204", "HTTP 204"),
        ("html", "HTML page"),
        ("html_in_disguise", "HTML page"),
        ("lfs", "git-LFS pointer"),
        ("gzip", "Content-Encoding gzip"),
        ("loop", "at most 3 redirections"),
        ("to_file", "file:///etc/passwd"),
        ("to_nonsense", "http://[broken"),
        ("nowhere", "at most 3 redirections"),
    ],
)
def test_what_another_attempt_cannot_mend_is_refused_at_once(
    server: Script, target: Path, step: str, said: str
) -> None:
    server.load(BODY, *["nowhere"] * 9) if step == "nowhere" else server.load(BODY, step)
    assert said in refuse(target)
    assert len(server.asked) == (4 if said.startswith("at most 3") else 1)
    assert list(target.parent.iterdir()) == []


def test_a_captive_portal_does_not_cost_what_has_arrived(server: Script, target: Path) -> None:
    server.load(BODY, "cut", "html")
    assert "HTML page" in refuse(target)
    fetch("model.dat")
    assert server.ranges == [None, "bytes=100000-", "bytes=100000-"]


def test_fewer_bytes_than_promised_every_time_are_given_up_after_the_attempts(server: Script, target: Path) -> None:
    server.load(BODY, *["old_cut"] * 9)
    assert "after 3 attempts" in refuse(target)
    assert len(server.asked) == 3


@pytest.mark.parametrize("step", ["stall", "silent"])
def test_a_stall_is_cut_off_and_mended(server: Script, target: Path, step: str) -> None:
    server.load(BODY, step)
    started = time.perf_counter()
    fetch("model.dat", patience=replace(SHORT_OF_TIME, attempts=4))
    assert time.perf_counter() - started < 8, "the server holds the line for 10 s"
    assert target.read_bytes() == BODY
    assert server.ranges[1] == ("bytes=100000-" if step == "stall" else None)


def test_a_stall_every_time_is_one_sentence(server: Script, target: Path) -> None:
    server.load(BODY, *["silent"] * 9)
    assert "no byte came in time" in refuse(target, SHORT_OF_TIME)


def test_a_server_that_is_not_there_is_one_sentence(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODELS, "model.dat", replace(MODELS["model.dat"], url="http://127.0.0.1:1/model.dat"))
    assert "refused" in refuse(target).lower()


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://x.org/f", "no url", "http://x:port/"])
def test_only_http_is_spoken(target: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setitem(MODELS, "model.dat", replace(MODELS["model.dat"], url=url, sha256="0" * 64, size=None))
    assert "http or https" in refuse(target)


def test_https_is_not_left_for_http() -> None:
    from email.message import Message
    from urllib.error import HTTPError

    headers = Message()
    headers["Location"] = "http://x.org/model.dat"
    with HTTPError("https://x.org", 302, "Found", headers, None) as error:
        with pytest.raises(ModelError, match="expected a redirection to https "):
            _next_url("https://x.org", error)
        assert _next_url("http://x.org", error) == "http://x.org/model.dat"
        headers.replace_header("Location", "/other")
        assert _next_url("https://x.org/a", error) == "https://x.org/other"
    with HTTPError("https://x.org", 503, "Busy", headers, None) as error, pytest.raises(CutOffError):
        _next_url("https://x.org", error)


def test_an_endless_answer_is_stopped_early(server: Script, target: Path) -> None:
    server.load(BODY, "endless")
    assert "found more than 200,000" in refuse(target)
    assert server.sent < 50_000_000, "what lies in the sockets' buffers, not all of it"


def test_notes_of_a_version_that_is_gone_are_not_gone_by(server: Script, target: Path) -> None:
    server.load(BODY, "cut", "cut_untagged")
    fetch("model.dat", patience=QUICK)
    assert server.ranges == [None, "bytes=100000-", None]
    assert target.read_bytes() == BODY


def test_an_unknown_size_has_a_cap(server: Script, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("align.store.CAP", 100_000)
    monkeypatch.setitem(MODELS, "model.dat", server.card(BODY, size=None))
    assert "at most 100,000 bytes" in refuse(target)
    server.load(BODY, "whole_chunked")
    assert "more than 100,000" in refuse(target)
    monkeypatch.setattr("align.store.CAP", 300_000)
    server.load(BODY, "whole_chunked")
    assert fetch("model.dat").state == VERIFIED


STEPS = [
    *("whole", "cut", "drop", "no_range", "wrong_range", "changed_206", "old_cut", "too_many_chunked", "redirect"),
    *("to_file", "e404", "e500", "e416", "e204", "html", "lfs", "gzip", "whole_chunked", "cut_untagged"),
]
SPOILT = ["corrupt", "corrupt_cut", "short", "too_many", "html_in_disguise"]  # only a sha256 or a size tells


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), kind=st.sampled_from(["plain", "unsized", "packed", "unpinned"]))
def test_whatever_the_server_does_the_name_holds_the_right_bytes_or_nothing(
    server: Script, data: st.DataObject, kind: str
) -> None:
    body = NPY[:5000]
    known = {"unsized": {"size": None}, "unpinned": {"size": None, "sha256": None}}.get(kind, {})
    card = server.card(body, "fuzz.npy", "/f.bz2" if kind == "packed" else "/f", **known)
    steps = STEPS + (SPOILT if kind != "unpinned" else [])
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setitem(MODELS, card.name, card)
        target = Path(folder) / card.name
        for script in data.draw(st.lists(st.lists(st.sampled_from(steps), max_size=5), min_size=1, max_size=4)):
            server.load(bz2.compress(body) if kind == "packed" else body, *script)
            try:
                fetch(card.name, Path(folder), QUICK)
            except ModelError as error:
                assert "\n" not in str(error)  # noqa: PT017  whether it is raised is the server's choice
                assert not target.exists()
            else:
                assert target.read_bytes() == body
                assert check_file(target, card) in (VERIFIED, PINNED)
        server.load(bz2.compress(body) if kind == "packed" else body)
        assert fetch(card.name, Path(folder), QUICK).state in (VERIFIED, PINNED)
        assert {path.name for path in Path(folder).iterdir()} <= {card.name, f"{card.name}.sha256"}
