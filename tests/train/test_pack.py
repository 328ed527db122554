import os
import shutil
import signal
import threading
import time

import numpy as np
import pytest
import torch
from PIL import Image

from align import EyelineError, ImageError
from train import pack_build, pack_format
from train.pack import PackRow, open_pack, pack_folder, pack_set, read_crop, set_rows

SIZE = 16


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Blocks of 4 rows, so that few crops make several."""
    monkeypatch.setattr(pack_format, "_BLOCK_BYTES", 4 * 3 * SIZE * SIZE)


@pytest.fixture
def decoded(monkeypatch):
    """The names of the crops that are decoded, in order."""
    names = []

    def noted(path, size_px):
        names.append(path.name)
        return read_crop(path, size_px)

    monkeypatch.setattr(pack_build, "read_crop", noted)
    return names


def write_crop(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(value).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path.with_suffix(".tmp.png"))
    path.with_suffix(".tmp.png").replace(path)


def make_rows(root, count=10):
    rows = [PackRow(f"f{i:03d}", root / "crops" / f"s{i % 2}" / f"f{i:03d}.png") for i in range(count)]
    for i, row in enumerate(rows):
        write_crop(row.path, i)
    (root / "manifest.parquet").write_bytes(b"")
    return rows


def curated_again(root):
    (root / "manifest.parquet").write_bytes(b"again")
    os.utime(root / "manifest.parquet", ns=(time.time_ns(), time.time_ns()))


def assert_holds(pack, rows):
    images = pack.gather(pack.rows_of([row.face_id for row in rows]))
    for image, row in zip(images, rows, strict=True):
        np.testing.assert_array_equal(image.permute(1, 2, 0).numpy(), read_crop(row.path, SIZE))


def files_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != pack_format.CHECKED}


def test_a_pack_gives_each_face_its_crop_in_any_order(tmp_path):
    rows = make_rows(tmp_path)
    pack = open_pack(tmp_path, rows[::-1], SIZE)
    assert pack.images.shape == (10, 3, SIZE, SIZE)
    assert pack.images.dtype == torch.uint8
    assert_holds(pack, rows)
    assert_holds(pack, [rows[i] for i in (7, 0, 7, 3)])
    np.testing.assert_array_equal(np.load(pack.folder / "images.npy", mmap_mode="r"), pack.images.numpy())
    with pytest.raises(EyelineError, match="expected face nobody among its 10"):
        pack.rows_of(["f001", "nobody"])


def test_crops_of_another_size_are_resized_and_each_size_has_its_own_pack(tmp_path):
    rows = make_rows(tmp_path, 3)
    half = open_pack(tmp_path, rows, SIZE // 2)
    np.testing.assert_array_equal(half.images[1].permute(1, 2, 0).numpy(), read_crop(rows[1].path, SIZE // 2))
    assert open_pack(tmp_path, rows, SIZE).folder != half.folder


def test_an_unchanged_set_is_neither_decoded_nor_looked_at_again(tmp_path, decoded, monkeypatch):
    rows = make_rows(tmp_path)
    open_pack(tmp_path, rows, SIZE)
    assert sorted(decoded) == [row.path.name for row in rows]
    monkeypatch.setattr(pack_format, "stamp_crop", None)  # called, it would fail
    assert_holds(open_pack(tmp_path, rows, SIZE), rows)
    assert len(decoded) == 10


def test_the_same_set_gives_the_same_bytes(tmp_path):
    rows = make_rows(tmp_path)
    first = files_of(open_pack(tmp_path, rows, SIZE).folder)
    shutil.rmtree(tmp_path / "pack")
    assert files_of(open_pack(tmp_path, rows[::-1], SIZE).folder) == first
    assert set(first) == {"images.npy", "index.parquet", "pack.json"}


@pytest.mark.parametrize("manifest_too", [True, False])
def test_only_what_changed_is_decoded_again(tmp_path, decoded, manifest_too):
    rows = make_rows(tmp_path)
    open_pack(tmp_path, rows, SIZE)
    decoded.clear()
    write_crop(rows[3].path, 100)
    rows[6].path.unlink()
    new = PackRow("f999", tmp_path / "crops" / "s9" / "f999.png")
    write_crop(new.path, 101)
    if manifest_too:
        curated_again(tmp_path)
    left = [row for row in [*rows, new] if row is not rows[6]]
    pack = open_pack(tmp_path, left, SIZE)
    assert sorted(decoded) == ["f003.png", "f999.png"]
    assert len(pack) == 10
    assert_holds(pack, left)


def test_a_set_curated_again_without_a_change_is_looked_at_once(tmp_path, decoded, monkeypatch):
    rows = make_rows(tmp_path)
    open_pack(tmp_path, rows, SIZE)
    decoded.clear()
    curated_again(tmp_path)
    open_pack(tmp_path, rows, SIZE)
    monkeypatch.setattr(pack_format, "stamp_crop", None)
    open_pack(tmp_path, rows, SIZE)
    assert not decoded


def test_fewer_faces_use_the_pack_as_it_is(tmp_path, decoded):
    rows = make_rows(tmp_path)
    open_pack(tmp_path, rows, SIZE)
    decoded.clear()
    pack = open_pack(tmp_path, rows[4:6], SIZE)
    assert len(pack) == 10
    assert_holds(pack, rows[4:6])
    assert not decoded


def test_a_crop_that_vanished_is_named(tmp_path):
    rows = make_rows(tmp_path)
    open_pack(tmp_path, rows, SIZE)
    rows[2].path.unlink()
    with pytest.raises(EyelineError, match=r"f002.png: expected a crop that the manifest lists \(no such file\)"):
        open_pack(tmp_path, rows, SIZE)


def test_a_broken_crop_is_named_and_mended_it_goes_on(tmp_path):
    rows = make_rows(tmp_path)
    good = rows[7].path.read_bytes()
    rows[7].path.write_bytes(good[:60])
    with pytest.raises(ImageError, match=r"f007.png"):
        open_pack(tmp_path, rows, SIZE)
    rows[7].path.write_bytes(good)
    assert_holds(open_pack(tmp_path, rows, SIZE), rows)


@pytest.mark.parametrize("after", range(3))
def test_a_build_that_was_stopped_goes_on_and_gives_the_same_bytes(tmp_path, decoded, after):
    rows = make_rows(tmp_path)
    whole = files_of(open_pack(tmp_path, rows, SIZE).folder)
    shutil.rmtree(tmp_path / "pack")
    decoded.clear()

    def stop(done, total):
        assert total == 10
        if done == min(4 * (after + 1), 10):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        plan_and_build(tmp_path, rows, stop)
    first = len(decoded)
    pack = open_pack(tmp_path, rows, SIZE)
    assert len(decoded) == 10
    assert first == min(4 * (after + 1), 10)
    assert files_of(pack.folder) == whole
    assert_holds(pack, rows)


def plan_and_build(root, rows, progress=None):
    folder = pack_folder(root, SIZE)
    plan = pack_build.make_plan(root, folder, rows, SIZE)
    with pack_build.building(folder, 1):
        return pack_build.build(plan, progress)


@pytest.mark.parametrize("damage", ["half a block", "a flipped bit", "half a line", "another plan", "no journal"])
def test_a_half_written_build_is_trusted_only_as_far_as_its_checksums_go(tmp_path, decoded, damage):
    rows = make_rows(tmp_path)

    def stop(done, _total):
        if done == 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        plan_and_build(tmp_path, rows, stop)
    images, journal = (pack_folder(tmp_path, SIZE) / ".building" / name for name in ("images.npy", "blocks.txt"))
    kept = 8
    if damage == "half a block":
        images.write_bytes(images.read_bytes() + b"x" * 100)
    elif damage == "a flipped bit":
        flip(images, -10)
        kept = 4
    elif damage == "half a line":
        journal.write_text(journal.read_text()[:-3])
        kept = 4
    elif damage == "no journal":
        journal.unlink()
        kept = 0
    else:
        write_crop(rows[9].path, 100)
        kept = 0
    decoded.clear()
    pack = open_pack(tmp_path, rows, SIZE)
    assert len(decoded) == 10 - kept
    assert_holds(pack, rows)


def flip(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("moved", [["images.npy"], ["images.npy", "index.parquet"]])
def test_a_kill_between_the_last_renames_is_made_good(tmp_path, decoded, moved):
    rows = make_rows(tmp_path)
    pack = open_pack(tmp_path, rows[:8], SIZE)
    folder, place = pack.folder, pack.folder / ".building"
    old = files_of(folder)
    open_pack(tmp_path, rows, SIZE)
    place.mkdir()
    for name in pack_format.IMAGES, pack_format.INDEX, pack_format.META:
        if name in moved:
            continue
        (folder / name).replace(place / name)
        (folder / name).write_bytes(old[name])
    decoded.clear()
    assert_holds(open_pack(tmp_path, rows, SIZE), rows)
    assert not decoded
    assert not place.exists()


@pytest.mark.parametrize("damage", ["cut off", "altered", "header", "longer", "gone"])
def test_a_damaged_pack_is_noticed_and_only_its_bad_blocks_are_decoded_again(tmp_path, decoded, damage, capsys):
    rows = make_rows(tmp_path)
    images = open_pack(tmp_path, rows, SIZE).folder / "images.npy"
    decoded.clear()
    whole = images.read_bytes()
    again = {"cut off": 2, "altered": 4, "header": 10, "longer": 0, "gone": 10}[damage]
    if damage == "cut off":
        images.write_bytes(whole[:-5])
    elif damage == "altered":
        flip(images, 128 + 5 * 3 * SIZE * SIZE)  # in the second block
    elif damage == "header":
        flip(images, 20)
    elif damage == "longer":
        images.write_bytes(whole + b"x")
    else:
        images.unlink()
    assert_holds(open_pack(tmp_path, rows, SIZE), rows)
    assert len(decoded) == again
    assert images.read_bytes() == whole
    said = capsys.readouterr().err
    assert ("blocks were altered or cut off" in said) == (damage in ("cut off", "altered", "header"))


@pytest.mark.parametrize("name", ["pack.json", "index.parquet"])
def test_a_damaged_description_of_a_pack_makes_it_new(tmp_path, name, decoded):
    rows = make_rows(tmp_path)
    path = open_pack(tmp_path, rows, SIZE).folder / name
    path.write_bytes(path.read_bytes()[:30])
    curated_again(tmp_path)
    assert_holds(open_pack(tmp_path, rows, SIZE), rows)
    assert len(decoded) == 20


def test_a_copied_pack_is_checked_once_and_used(tmp_path, decoded, monkeypatch):
    rows = make_rows(tmp_path)
    images = open_pack(tmp_path, rows, SIZE).folder / "images.npy"
    os.utime(images)
    open_pack(tmp_path, rows, SIZE)
    monkeypatch.setattr(pack_format, "whole_blocks", None)
    open_pack(tmp_path, rows, SIZE)
    assert len(decoded) == 10


def test_an_older_version_is_made_new(tmp_path, decoded, monkeypatch):
    rows = make_rows(tmp_path)
    open_pack(tmp_path, rows, SIZE)
    monkeypatch.setattr(pack_format, "VERSION", 2)
    open_pack(tmp_path, rows, SIZE)
    assert len(decoded) == 20


def test_a_folder_that_cannot_be_written_is_one_sentence_and_pack_dir_helps(tmp_path):
    root = tmp_path / "set"
    rows = make_rows(root)
    (root / "pack").write_text("in the way")
    with pytest.raises(EyelineError, match=r"pack.*expected a folder to write .* MB .*by data.pack_dir"):
        open_pack(root, rows, SIZE)
    pack = open_pack(root, rows, SIZE, tmp_path / "elsewhere")
    assert_holds(pack, rows)
    assert (tmp_path / "elsewhere") in pack.folder.parents
    other = tmp_path / "b" / "set"
    assert pack_folder(other, SIZE, tmp_path / "elsewhere") != pack.folder


def test_a_face_twice_is_refused(tmp_path):
    rows = make_rows(tmp_path)
    with pytest.raises(EyelineError, match=r"expected each face_id once \(found f001 twice"):
        open_pack(tmp_path, [*rows, rows[1]], SIZE)


def test_one_of_several_at_once_decodes_and_the_others_wait(tmp_path, decoded, monkeypatch):
    rows = make_rows(tmp_path)
    monkeypatch.setattr(pack_build, "_PAUSE_S", 0.01)
    built = []
    monkeypatch.setattr("train.pack.build", lambda *given: built.append(1) or pack_build.build(*given))
    packs = []
    threads = [threading.Thread(target=lambda: packs.append(open_pack(tmp_path, rows, SIZE))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(packs) == 4
    assert len(built) == 1
    assert len(decoded) == 10
    for pack in packs:
        assert_holds(pack, rows)


def test_killed_for_good_and_started_again_it_gives_the_same_bytes(tmp_path, decoded):
    rows = make_rows(tmp_path, 200)
    whole = files_of(open_pack(tmp_path, rows, SIZE).folder)
    shutil.rmtree(tmp_path / "pack")
    journal = pack_folder(tmp_path, SIZE) / ".building" / "blocks.txt"
    child = os.fork()
    if not child:
        open_pack(tmp_path, rows, SIZE)
        os._exit(1)
    while not (journal.is_file() and journal.read_text().count("\n") > 5):
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    assert not (pack_folder(tmp_path, SIZE) / "pack.json").exists()
    decoded.clear()
    assert files_of(open_pack(tmp_path, rows, SIZE).folder) == whole
    assert len(decoded) <= 200 - 5 * 4


def test_pack_set_reports_and_sees_crops_overwritten_in_place(faces_set, tmp_path):
    root = tmp_path / "set"
    shutil.copytree(faces_set, root, ignore=shutil.ignore_patterns("pack"))
    told = []
    report = pack_set(root, 32, lambda done, total: told.append((done, total)))
    assert (report.faces, report.decoded, report.size_px, report.bytes) == (48, 48, 32, 48 * 3 * 32 * 32)
    assert told[-1] == (48, 48)
    assert pack_set(root, 32).decoded == 0
    first = set_rows(root)[0]
    with first.path.open("r+b") as file:
        Image.fromarray(np.zeros((20, 20, 3), np.uint8)).save(file, "PNG")
        file.truncate()
    assert pack_set(root, 32).decoded == 1
    pack = open_pack(root, set_rows(root), 32)
    assert not pack.gather(pack.rows_of([first.face_id])).any()


def test_pack_set_computes_every_checksum(tmp_path, faces_set):
    root = tmp_path / "set"
    shutil.copytree(faces_set, root, ignore=shutil.ignore_patterns("pack"))
    images = pack_set(root, 32).folder / "images.npy"
    found = images.stat()
    flip(images, -1)
    os.utime(images, ns=(found.st_atime_ns, found.st_mtime_ns))  # as a failing disk does
    assert pack_set(root, 32).decoded == 1
