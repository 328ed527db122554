"""An export appears whole or not at all, holds kept faces only, and never leaves its folder."""

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import curate
from align import EyelineError, UsageError
from curate.cli import main
from curate.export import FORMATS, Export, export_set, staging
from curate.export.csv_file import NAME
from curate.manifest import write_curation, write_manifest
from tests.curate.report_sets import make_set, record_of

ALL = sorted(FORMATS)


@pytest.fixture
def out(tmp_path, rows):
    """A set of 60 rows, of which some were dropped; two faces stand for others, one is shown four times."""
    record = record_of(rows, balance={"classes": []}, labels=["sad", "happy", "rare"])
    return make_set(tmp_path / "set", rows, record)


def files_of(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def refused(out, dest, *more, to="csv", code=2, capsys=None):
    assert main(["export", str(out), "--to", to, "--dest", str(dest), *more]) == code
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ")
    return error


@pytest.mark.parametrize("to", ALL)
def test_the_command_writes_kept_faces_and_says_how_many(to, out, tmp_path, capsys):
    assert main(["export", str(out), "--to", to, "--dest", str(tmp_path / "new" / to), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    kept = curate.read_manifest(out)
    kept = kept[kept["drop_reason"].isna()]
    sides = {side: {"faces": len(own), "showings": int(own["repeat"].sum())} for side, own in kept.groupby("split")}
    assert said["splits"] == sides
    assert sides["train"]["showings"] == sides["train"]["faces"] + 3
    assert main(["export", str(out), "--to", to, "--dest", str(tmp_path / f"table-{to}")]) == 0
    assert f"export: {tmp_path / f'table-{to}'}" in capsys.readouterr().out
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("to", ALL)
def test_the_same_set_gives_the_same_bytes_in_any_order_of_its_rows(to, out, tmp_path):
    export_set(Export(out, to, tmp_path / "first" / "x"))
    write_manifest(out, curate.read_manifest(out).sample(frac=1, random_state=0))
    export_set(Export(out, to, tmp_path / "second" / "x"))
    assert files_of(tmp_path / "first") == files_of(tmp_path / "second")


@pytest.mark.parametrize("to", ALL)
def test_only_the_sides_that_are_asked_for_are_written(to, out, tmp_path):
    found = export_set(Export(out, to, tmp_path / "x", splits=("val", "test")))
    assert list(found.splits) == ["val", "test"]
    written = b"".join([name.encode() + content for name, content in files_of(tmp_path / "x").items()])
    assert b"f000042" in written or to == "hf"  # compressed
    assert b"f000030" not in written


@pytest.mark.parametrize("to", [to for to in ALL if to != "csv"])
def test_a_crop_that_is_missing_is_named_before_anything_is_written(to, out, tmp_path):
    (out / "crops" / "000030.png").unlink()
    with pytest.raises(EyelineError, match=r"1 missing, the first: crops/000030.png\); make them again"):
        export_set(Export(out, to, tmp_path / "x"))
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("crop", ["../../etc/passwd", "/etc/passwd", "crops/../../secret.png", "crops"])
def test_a_crop_outside_the_set_is_refused(crop, out, tmp_path):
    (tmp_path / "secret.png").write_bytes(b"secret")
    rows = curate.read_manifest(out)
    rows.loc[30, "crop"] = crop
    write_manifest(out, rows)
    with pytest.raises(EyelineError, match="expected"):
        export_set(Export(out, "folders", tmp_path / "x"))
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("dest", "said"),
    [
        ("set/export", "expected a folder outside the set"),
        ("set", "expected a folder outside the set"),
        ("file", r"expected a folder \(found a file\)"),
        ("full", r"expected a new or empty folder \(found 'a' in it\)"),
        (".", "found the working folder"),
        ("file/below", r"expected a folder that can be written \(Not a directory\)"),
    ],
)
def test_a_destination_that_cannot_be_used_is_one_sentence(dest, said, out, tmp_path, capsys, monkeypatch):
    (tmp_path / "file").write_text("x")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a").write_text("x")
    if dest == ".":
        (tmp_path / "here").mkdir()
        monkeypatch.chdir(tmp_path / "here")
    before = files_of(tmp_path)
    error = refused(out, dest if dest == "." else tmp_path / dest, capsys=capsys)
    assert re.search(said, error), error
    assert files_of(tmp_path) == before


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--splits", "train,valid"], "--splits must name some of train, val, test (got 'valid')"),
        (["--splits", ""], "--splits must name some of"),
        (["--link", "hard"], "--link is for --to folders or fiftyone (got --to csv)"),
        (["--per-shard", "5"], "--per-shard is for --to webdataset or hf (got --to csv)"),
        (["--to", "fiftyone", "--repeat"], "--repeat is for other forms"),
        (["--to", "hf", "--per-shard", "0"], "--per-shard and --shard-mb must be 1 or more"),
        (["--to", "folders", "--paths", "absolute"], "--paths is for --to csv (got --to folders)"),
    ],
)
def test_options_that_do_not_fit_are_one_sentence(options, said, out, tmp_path, capsys):
    assert said in refused(out, tmp_path / "x", *options, capsys=capsys)
    assert not (tmp_path / "x").exists()


def test_a_set_that_is_not_ready_is_one_sentence(out, tmp_path, capsys):
    record = curate.read_curation(out)
    write_curation(out, {key: value for key, value in record.items() if key != "balance"})
    assert f"run eyeline-curate balance {out}" in refused(out, tmp_path / "x", capsys=capsys)
    assert "expected a set's manifest" in refused(tmp_path, tmp_path / "x", capsys=capsys)
    write_curation(out, record)
    rows = curate.read_manifest(out)
    write_manifest(out, rows[rows["split"] != "val"])
    assert "expected kept faces in val (found none)" in refused(out, tmp_path / "x", "--splits", "val", capsys=capsys)
    write_manifest(out, rows.iloc[:0])
    assert "expected kept faces in any side" in refused(out, tmp_path / "x", capsys=capsys)
    rows.loc[1, "face_id"] = rows.loc[0, "face_id"]
    write_manifest(out, rows)
    assert "expected each face_id once (found 1 again)" in refused(out, tmp_path / "x", code=1, capsys=capsys)
    write_manifest(out, curate.read_manifest(out).assign(face_id=rows.index.astype(str), label="odd"))
    assert "expected labels of ['sad', 'happy', 'rare'] (found ['odd'])" in refused(
        out, tmp_path / "x", code=1, capsys=capsys
    )


def on_a_small_disk(tmp_path, out, to, options):
    """Export to a file system of its own, mounted with `options`; give what was said, and what lies there then."""
    (tmp_path / "disk").mkdir()
    main_ = "import sys; from curate.cli import main; sys.exit(main(sys.argv[1:]))"
    more = {"folders": "--link copy", "fiftyone": "--link copy", "csv": "--paths absolute"}.get(to, "")
    script = f"""
        mount -t tmpfs -o {options} none {tmp_path}/disk || exit 99
        {sys.executable} -c '{main_}' export {out} --to {to} --dest {tmp_path}/disk/x {more}
        echo $? $(ls -A {tmp_path}/disk)"""
    done = subprocess.run(["unshare", "-rm", "sh", "-c", script], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip("no user namespaces: a small disk cannot be made")
    assert "Traceback" not in done.stderr
    return done.stderr, done.stdout.split()


@pytest.mark.parametrize("to", ALL)
def test_a_full_disk_leaves_nothing_and_is_one_sentence(to, out, tmp_path):
    said, left = on_a_small_disk(tmp_path, out, to, "size=4k" if to == "csv" else "size=40k")
    assert "(No space left on device); nothing was left behind: make room or choose another --dest" in said
    assert left == ["1"]


def test_a_disk_that_cannot_be_written_is_one_sentence(out, tmp_path):
    said, left = on_a_small_disk(tmp_path, out, "csv", "ro")
    assert "expected a folder that can be written (Read-only file system); choose another --dest" in said
    assert left == ["2"]


def test_a_failure_half_way_leaves_nothing_and_the_next_export_succeeds(out, tmp_path, monkeypatch):
    real, calls = shutil.copyfile, []

    def full(source, target):
        calls.append(target)
        if len(calls) == 20:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(source, target)

    monkeypatch.setattr(staging.shutil, "copyfile", full)
    with pytest.raises(EyelineError, match=r"\(No space left on device\); nothing was left behind"):
        export_set(Export(out, "folders", tmp_path / "x", link="copy"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set"]
    export_set(Export(out, "folders", tmp_path / "x", link="copy"))
    assert len(list((tmp_path / "x").rglob("*.png"))) > 40


def test_a_killed_export_is_done_again_from_the_beginning(out, tmp_path):
    code = f"""
import time, pathlib
from curate.export import export_set, Export
def slow(done, total): time.sleep(60 if done else 0)
export_set(Export(pathlib.Path({str(out)!r}), "webdataset", pathlib.Path({str(tmp_path / "x")!r})), slow)
"""
    process = subprocess.Popen([sys.executable, "-c", code])
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(".*.eyeline-export/*.tar")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    with pytest.raises(UsageError, match="another export is at work on it"):
        export_set(Export(out, "webdataset", tmp_path / "x"))
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "x").exists()
    (left,) = tmp_path.glob(".*.eyeline-export")
    (left / "from-before").write_text("half a file")
    export_set(Export(out, "webdataset", tmp_path / "x"))
    export_set(Export(out, "webdataset", tmp_path / "y"))
    assert files_of(tmp_path / "x") == files_of(tmp_path / "y")
    assert not list(tmp_path.glob(".*"))


def test_an_empty_folder_and_a_link_to_one_are_filled(out, tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    export_set(Export(out, "csv", tmp_path / "link"))
    assert (tmp_path / "real" / NAME).is_file()
    assert (tmp_path / "link").is_symlink()


def test_paths_of_odd_bytes_are_written_and_printed(out, tmp_path):
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff \xc3\xa4\n"))
    found = export_set(Export(out, "folders", odd))
    assert "\\xff" in found.dest
    assert len(list(odd.rglob("*.png"))) == sum(side["faces"] for side in found.splits.values())
