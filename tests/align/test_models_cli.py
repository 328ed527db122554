import json
from dataclasses import replace
from pathlib import Path

import pytest
from jsonargparse import ArgumentParser

from align import MODELS, console
from align.models_cli import add_models_command, run_models

from .model_server import Script

BODY = bytes(range(256)) * 100
FIVE = "shape_predictor_5_face_landmarks.dat"


pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture(autouse=True)
def tester(server: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `tester` read two files that the server has."""
    server.load(BODY)
    for name in ("one.dat", "two.dat"):
        monkeypatch.setitem(MODELS, name, server.card(BODY, name))


def run(*args: str) -> int:
    parsed = parser().parse_args(["models", *args])
    return console.run_command(lambda: run_models(parsed.models))


def parser() -> ArgumentParser:
    parent = ArgumentParser(prog="eyeline-align")
    add_models_command(parent.add_subcommands(required=True))
    return parent


def test_list_names_size_licence_place_and_check(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("list") == 0
    lines = {line.split()[1]: line for line in capsys.readouterr().out.splitlines() if line.count("│") > 3}
    assert set(MODELS) <= set(lines)
    for word in ("9,150,489", "public domain", "yes", "package", "verified"):
        assert word in lines[FIVE]
    assert "not here" in lines["s3fd-619a316812.pth"]
    assert "unclear" in lines["s3fd-619a316812.pth"]


def test_list_as_json_holds_the_cards_and_where_each_is(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, cache: Path
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "one.dat").write_bytes(BODY)
    cache.mkdir(parents=True)
    (cache / "two.dat").write_bytes(b"wrong")
    (cache / "blazeface.pth").write_bytes(b"by hand")
    assert run("list", "--json", "--folder", str(tmp_path / "mine")) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)["models"]}
    assert set(rows) == set(MODELS)
    assert (rows["one.dat"]["place"], rows["one.dat"]["state"]) == ("explicit", "verified")
    assert rows["one.dat"]["path"] == str(tmp_path / "mine" / "one.dat")
    assert (rows["two.dat"]["place"], rows["two.dat"]["state"]) == ("cache", "wrong")
    assert "expected sha256" in rows["two.dat"]["error"]
    assert rows["blazeface.pth"]["state"] == "unverified"
    assert rows["scrfd_2.5g_bnkps.onnx"]["place"] is None
    assert rows["scrfd_2.5g_bnkps.onnx"]["commercial"] == "no"


def test_fetch_by_the_name_of_what_reads_the_files(capsys: pytest.CaptureFixture[str], cache: Path) -> None:
    assert run("fetch", "tester", "one.dat") == 0
    out, err = capsys.readouterr()
    assert [line.split()[0] for line in out.splitlines()] == [str(cache / "one.dat"), str(cache / "two.dat")]
    assert (cache / "two.dat").read_bytes() == BODY
    assert "one.dat" in err, "the progress is on stderr"
    assert run("list") == 0
    assert run("verify", "tester") == 0


def test_fetch_into_a_folder(capsys: pytest.CaptureFixture[str], tmp_path: Path, cache: Path) -> None:
    assert run("fetch", "one.dat", "--to", str(tmp_path / "to"), "--json") == 0
    fetched = json.loads(capsys.readouterr().out)
    path = str(tmp_path / "to" / "one.dat")
    assert fetched["fetched"] == [
        {"name": "one.dat", "path": path, "place": "explicit", "state": "verified", "error": None}
    ]
    assert not cache.exists()


def test_fetch_tells_what_failed_and_goes_on(capsys: pytest.CaptureFixture[str], server: Script, cache: Path) -> None:
    server.load(BODY, "e404")
    assert run("fetch", "tester", "--json") == console.DONE_WITH_FAILURES
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert [row["name"] for row in told["fetched"]] == ["two.dat"]
    assert [row["name"] for row in told["failed"]] == ["one.dat"]
    assert "error: http" in err
    assert "HTTP 404" in err
    server.load(BODY, "lfs")
    assert run("fetch", "one.dat") == console.FAILED
    assert "git-LFS" in capsys.readouterr().err
    assert [path.name for path in cache.iterdir()] == ["two.dat"]


@pytest.mark.parametrize("command", ["fetch", "verify"])
def test_an_unknown_name_is_wrong_usage(capsys: pytest.CaptureFixture[str], command: str) -> None:
    assert run(command, "no-such-model") == console.WRONG_USAGE
    told = capsys.readouterr().err
    assert "'no-such-model': expected one of" in told
    assert "yunet" in told


def test_verify_checks_every_copy_that_is_here(
    capsys: pytest.CaptureFixture[str], cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("verify") == 0
    assert "wrong" not in capsys.readouterr().out
    monkeypatch.setenv("EYELINE_MODELS", str(tmp_path / "store"))
    assert run("fetch", "one.dat") == 0
    cache.mkdir(parents=True)
    (cache / "one.dat").write_bytes(b"wrong")
    capsys.readouterr()
    assert run("verify") == console.FAILED
    out, err = capsys.readouterr()
    assert str(cache / "one.dat") in out
    assert f"error: {cache / 'one.dat'}: expected sha256" in err
    assert (cache / "one.dat").exists(), "verify changes nothing"
    assert run("verify", "one.dat", "--json") == console.FAILED
    told = json.loads(capsys.readouterr().out)
    assert told["wrong"] == 1
    assert [(row["place"], row["state"]) for row in told["files"]] == [
        ("EYELINE_MODELS", "verified"),
        ("cache", "wrong"),
    ]


def test_verify_says_how_sure_it_is(
    capsys: pytest.CaptureFixture[str], server: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(
        MODELS, "one.dat", replace(server.card(b"\x93NUMPY", "one.npy", sha256=None, size=None), name="one.npy")
    )
    monkeypatch.setitem(MODELS, "one.npy", MODELS.pop("one.dat"))
    server.load(b"\x93NUMPY and so on")
    assert run("fetch", "one.npy") == 0
    assert "pinned at first fetch" in capsys.readouterr().out
    assert run("verify", "one.npy") == 0
    assert "pinned at first fetch" in capsys.readouterr().out


def test_verify_of_a_named_file_that_is_not_here_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("verify", "fan") == console.FAILED
    assert "eyeline-align models fetch 2DFAN4" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [[], ["no-such"], ["fetch"], ["list", "--no-such"]])
def test_wrong_usage_exits_with_2(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        run(*wrong)
    assert stopped.value.code == console.WRONG_USAGE
    assert "Traceback" not in capsys.readouterr().err


def test_the_help_names_the_whole_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run("fetch", "--help")
    told = capsys.readouterr().out
    assert "eyeline-align" in told
    assert "--to" in told
