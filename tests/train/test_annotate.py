"""`eyeline-train annotate` as a user types it, on real pictures and clips."""

import json
import os
import shutil
import signal
import subprocess
import threading
import time
from fractions import Fraction
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer

import av
import numpy as np
import pandas as pd
import pytest
from PIL import Image

import curate.cli
from curate import read_curation
from tests.videos import encode, remux, shorten, silence
from train.cli import main
from train.tasks import Tasks

from .annotate_cases import ALIGN, CLASSES, annotate, make_checkpoint, read_video, rows_of, sound_of

ANSWERS = ["predicted", *(f"p_{name}" for name in CLASSES), "valence", "arousal", "au_4", "au_12"]


@pytest.fixture(scope="module")
def ckpt(tmp_path_factory):
    return make_checkpoint(tmp_path_factory.mktemp("model") / "tiny.ckpt")


@pytest.fixture(scope="module")
def simple(tmp_path_factory):
    """A checkpoint that tells one task alone: for tests that its timeline, slow to draw, is not the matter of."""
    return make_checkpoint(tmp_path_factory.mktemp("model") / "one.ckpt", tasks=Tasks(affect=True))


@pytest.fixture(scope="module")
def talk(clips, tmp_path_factory):
    """Twelve frames of a man who talks, 176 x 144."""
    return shorten(clips / "carphone_pristine.mp4", tmp_path_factory.mktemp("clip") / "talk.mp4", 12)


@pytest.fixture(scope="module")
def pictures(talk):
    return read_video(talk)[0]


def leftovers(folder):
    return [path.name for path in folder.rglob("*") if path.name.startswith(".")]


@pytest.mark.parametrize("kind", ["png", "jpg"])
def test_a_face_of_a_set_and_the_same_face_from_its_photo_get_equal_answers(astronaut, tmp_path, capsys, kind):
    (tmp_path / "photos").mkdir()
    Image.fromarray(astronaut).save(tmp_path / "photos" / "astronaut.png")
    (tmp_path / "datasets.toml").write_text(
        '[one]\nsource = { kind = "images", path = "photos", label = "joy" }\n'
        f'align = {{ detector = "hog", landmarks = "dlib5", template = "arcface", size = 200, format = "{kind}" }}\n'
    )
    where = ["--registry", "datasets.toml", "--root", ".", "--out", "set"]
    assert curate.cli.main(["ingest", "one", *where]) == 0
    kept = read_curation(tmp_path / "set")["config"]["align"]
    assert kept["format"] == kind
    path = make_checkpoint(tmp_path / "model.ckpt", kept)
    assert main(["predict", "--ckpt_path", str(path), "--data.root", "set", "--trainer.accelerator", "cpu"]) == 0
    (found,) = rows_of(next((tmp_path / "runs").rglob("predictions.csv")))
    assert annotate("photos/astronaut.png", "--ckpt", path, "--out", "out") == 0
    (row,) = rows_of(tmp_path / "out" / "photos.csv")
    assert {name: row[name] for name in ANSWERS} == {name: found[name] for name in ANSWERS}
    assert row["drop_reason"] == ""
    capsys.readouterr()
    with Image.open(tmp_path / "out" / "astronaut.png") as drawn:
        assert (np.asarray(drawn) != astronaut).any(axis=2).mean() > 0.005  # a box and a label


def test_a_video_comes_out_with_its_frames_times_rows_and_plot(ckpt, talk, pictures, tmp_path, capsys):
    assert annotate(talk, "--ckpt", ckpt, "--out", tmp_path / "out", "--json") == 0
    (result,) = json.loads(capsys.readouterr().out)["inputs"]
    drawn, times = read_video(tmp_path / "out" / "talk.mp4")
    assert len(drawn) == len(pictures) == result["frames"] == 12
    assert times == pytest.approx(read_video(talk)[1], abs=1e-6)
    rows = rows_of(tmp_path / "out" / "talk.csv")
    assert len(rows) == result["faces"] == result["answered"] == 12
    assert list(rows[0])[:4] == ["frame", "time_s", "face", "track"]
    assert list(rows[0])[-len(ANSWERS) :] == ANSWERS
    assert {row["track"] for row in rows} == {"0"}
    assert [int(row["frame"]) for row in rows] == list(range(12))
    assert [float(row["time_s"]) for row in rows] == pytest.approx(times, abs=1e-5)
    for row, picture, original in zip(rows, drawn, pictures, strict=True):
        x, y, w, h = (float(row[f"box_{side}"]) for side in "xywh")
        change = np.abs(picture.astype(int) - original).mean(axis=2)
        edge = change[round(y) : round(y + h), round(x)].mean()
        assert edge > 20  # the box
        assert change[round(y + 0.3 * h) : round(y + 0.7 * h), round(x + 0.3 * w) : round(x + 0.7 * w)].mean() < 6
    with Image.open(tmp_path / "out" / "talk.timeline.png") as plot:
        assert min(plot.size) > 300
    assert leftovers(tmp_path / "out") == []


def test_one_frame_in_three_is_looked_at_and_the_others_show_its_answer(ckpt, talk, pictures, tmp_path):
    assert annotate(talk, "--ckpt", ckpt, "--out", "out", "--every", 3, "--batch_size", 2) == 0
    rows = rows_of(tmp_path / "out" / "talk.csv")
    assert [int(row["frame"]) for row in rows] == [0, 3, 6, 9]
    drawn, _ = read_video(tmp_path / "out" / "talk.mp4")
    assert len(drawn) == 12
    for index in range(12):
        row = rows[index // 3]
        x, y, h = (float(row[f"box_{side}"]) for side in "xyh")
        change = np.abs(drawn[index].astype(int) - pictures[index]).mean(axis=2)
        assert change[round(y) : round(y + h), round(x)].mean() > 20, index


def test_answers_depend_on_no_batch_and_on_views_and_precision_a_little(ckpt, talk, tmp_path):
    tables = {}
    for name, more in {
        "one": ["--batch_size", 1],
        "many": ["--batch_size", 64],
        "half": ["--precision", "bf16"],
        "flip": ["--tta", "flip"],
    }.items():
        assert annotate(talk, "--ckpt", ckpt, "--out", name, "--video", "false", "--every", 3, *more) == 0
        tables[name] = pd.read_csv(tmp_path / name / "talk.csv")[ANSWERS[1:]].to_numpy()
        assert not (tmp_path / name / "talk.mp4").exists()
    np.testing.assert_allclose(tables["one"], tables["many"], atol=2e-6)
    for name in ("half", "flip"):
        assert 1e-6 < np.abs(tables[name] - tables["one"]).max() < 0.3


def test_variable_times_and_odd_sizes_are_kept(simple, pictures, tmp_path):
    pts = [0, 40, 50, 200, 210, 1000]
    odd = [np.ascontiguousarray(picture[:143, :175]) for picture in pictures[:6]]
    padded = [np.pad(picture, ((0, 1), (0, 1), (0, 0)), mode="edge") for picture in odd]
    encode(tmp_path / "vfr.mkv", padded, pts=pts)
    assert annotate("vfr.mkv", "--ckpt", simple, "--out", "out") == 0
    frames, times = read_video(tmp_path / "out" / "vfr.mp4")
    assert times == pytest.approx([one / 1000 for one in pts])
    assert frames[0].shape == padded[0].shape


def test_a_sideways_video_comes_out_upright(simple, pictures, tmp_path):
    lying = [np.ascontiguousarray(np.rot90(picture, -1)) for picture in pictures[:4]]
    encode(tmp_path / "lying.mp4", lying, turn=90)
    assert annotate("lying.mp4", "--ckpt", simple, "--out", "out") == 0
    frames, _ = read_video(tmp_path / "out" / "lying.mp4")
    assert frames[0].shape == pictures[0].shape
    assert len(rows_of(tmp_path / "out" / "lying.csv")) == 4
    with av.open(str(tmp_path / "out" / "lying.mp4")) as container:
        assert next(container.decode(video=0)).rotation == 0


def test_a_video_without_faces_is_still_written(ckpt, clips, tmp_path):
    shorten(clips / "bikes.mp4", tmp_path / "bikes.mp4", 3)
    assert annotate("bikes.mp4", "--ckpt", ckpt, "--out", "out") == 0
    assert rows_of(tmp_path / "out" / "bikes.csv") == []
    assert (tmp_path / "out" / "bikes.csv").read_text().startswith("frame,time_s,face,track,")
    assert len(read_video(tmp_path / "out" / "bikes.mp4")[0]) == 3
    assert (tmp_path / "out" / "bikes.timeline.png").is_file()


def with_sound(talk, target, codec):
    """Put a tone beside a clip."""
    rate = 16000
    tone = (8000 * np.sin(np.arange(rate * 2 // 5) * 2 * np.pi * 440 / rate)).astype(np.int16)
    with av.open(str(talk)) as given, av.open(str(target), "w") as container:
        wanted = given.streams.video[0]
        stream, sound = container.add_stream_from_template(wanted), container.add_stream(codec, rate=rate)
        sound.codec_context.layout = "mono"
        for packet in given.demux(wanted):
            if packet.dts is not None:
                packet.stream = stream
                container.mux(packet)
        frame = av.AudioFrame.from_ndarray(tone[None], format="s16", layout="mono")
        frame.rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
        container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
    return target


@pytest.mark.parametrize("codec", ["aac", "pcm_s16le"])
def test_sound_comes_along(simple, talk, tmp_path, codec):
    with_sound(talk, tmp_path / "loud.mkv", codec)
    assert annotate("loud.mkv", "--ckpt", simple, "--out", "out", "--every", 12) == 0
    name, seconds, samples = sound_of(tmp_path / "out" / "loud.mp4")
    assert name == "aac"
    assert seconds == pytest.approx(0.4, abs=0.1)
    assert np.abs(samples).max() > 0.1
    assert len(read_video(tmp_path / "out" / "loud.mp4")[0]) == 12


def test_what_can_be_decoded_of_a_damaged_video_is_annotated_and_the_fault_is_said(
    simple, talk, clips, tmp_path, capsys
):
    shorten(clips / "carphone_pristine.mp4", tmp_path / "long.mp4", 30)
    whole = remux(tmp_path / "long.mp4", tmp_path / "whole.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: int(len(whole) * 0.7)])
    (tmp_path / "empty.mp4").write_bytes(b"")
    silence(tmp_path / "mute.wav")
    shutil.copy(talk, tmp_path / "good.mp4")
    assert annotate("cut.mp4", "--ckpt", simple, "--out", "out") == 3
    said = capsys.readouterr().err
    assert "failed: cut.mp4: " in said
    assert "Traceback" not in said
    assert 2 < len(read_video(tmp_path / "out" / "cut.mp4")[0]) < 30
    assert annotate("empty.mp4", "mute.wav", "good.mp4", "--ckpt", simple, "--out", "two", "--every", 12) == 3
    assert capsys.readouterr().err.count("failed: ") == 2
    assert sorted(path.name for path in (tmp_path / "two").iterdir()) == ["good.csv", "good.mp4", "good.timeline.png"]
    assert annotate("empty.mp4", "--ckpt", simple, "--out", "three") == 1


def test_a_folder_of_photos_and_videos_and_a_photo_that_is_none(simple, talk, astronaut, tmp_path, capsys):
    (tmp_path / "in" / "sub").mkdir(parents=True)
    Image.fromarray(astronaut).save(tmp_path / "in" / "a.png")
    Image.fromarray(astronaut[:, ::-1]).save(tmp_path / "in" / "sub" / "a.jpg")
    (tmp_path / "in" / "b.png").write_bytes(b"no picture")
    (tmp_path / "in" / "notes.txt").write_text("left out")
    shutil.copy(talk, tmp_path / "in" / "sub" / "talk.mp4")
    for _ in range(2):  # the second run does not read what the first one wrote
        assert annotate("in", "--ckpt", simple, "--out", "in/out", "--every", 12, "--json") == 3
        shown = capsys.readouterr()
        assert [one["kind"] for one in json.loads(shown.out)["inputs"]] == ["photo", "photo", "photo", "video"]
        assert "failed: in/b.png: expected a picture" in shown.err
    written = sorted(str(path.relative_to(tmp_path / "in/out")) for path in (tmp_path / "in/out").rglob("*.*"))
    assert written == ["a.png", "photos.csv", "sub/a.jpg", "sub/talk.csv", "sub/talk.mp4", "sub/talk.timeline.png"]
    assert [row["source"] for row in rows_of(tmp_path / "in/out/photos.csv")] == ["in/a.png", "in/sub/a.jpg"]


def test_a_checkpoint_that_does_not_say_how_its_faces_were_aligned_needs_flags(talk, tmp_path, capsys):
    bare = make_checkpoint(tmp_path / "bare.ckpt", {})
    assert annotate(talk, "--ckpt", bare) == 2
    said = capsys.readouterr().err.strip()
    assert all(flag in said for flag in ("--detector", "--landmarks", "--template", "--size"))
    assert "\n" not in said
    flags = [word for key, value in ALIGN.items() for word in (f"--{key}", value)]
    full = make_checkpoint(tmp_path / "full.ckpt")
    common = ["--video", "false", "--every", 6]
    assert annotate(talk, "--ckpt", bare, "--out", "bare", *flags, *common) == 0
    assert annotate(talk, "--ckpt", full, "--out", "full", *common) == 0
    assert (tmp_path / "bare/talk.csv").read_bytes() == (tmp_path / "full/talk.csv").read_bytes()
    capsys.readouterr()
    assert annotate(talk, "--ckpt", full, "--out", "other", "--template", "arcface", *common) == 0
    assert "trained on faces with template tight" in capsys.readouterr().err
    assert (tmp_path / "other/talk.csv").read_bytes() != (tmp_path / "full/talk.csv").read_bytes()
    assert annotate(talk, "--ckpt", full, "--template", "round") == 2
    assert annotate(talk, "--ckpt", full, "--faces", "some") == 2


def test_wrong_usage_fails_in_one_sentence(ckpt, talk, tmp_path, capsys):
    def fails(code, *args, says):
        assert annotate(*args, "--ckpt", ckpt) == code
        lines = capsys.readouterr().err.strip().splitlines()
        said = [line for line in lines if not line.startswith("frames ")]  # the progress bar
        assert len(said) == 1, said
        assert says in said[0], said

    fails(2, "nothing.mp4", says="nothing.mp4: expected")
    fails(2, talk, "--every", 0, says="--every must be")
    fails(2, talk, "--threshold", 2, says="--threshold must be")
    fails(2, talk, "--font", "no.ttf", says="--font must be")
    fails(2, talk, "--out", talk.parent, says="would be written over an input")
    (tmp_path / "empty").mkdir()
    fails(2, "empty", says="empty: expected photos or videos")
    fails(1, "camera:97", says="camera:97: expected a camera")
    assert main(["annotate", str(talk), "--ckpt", str(ckpt), "--device", "cuda:9"]) == 2
    assert "--device must be" in capsys.readouterr().err


def test_without_a_display_show_says_so_and_writes_nothing(ckpt, talk, tmp_path, capsys, monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert annotate(talk, "--ckpt", ckpt, "--out", "out", "--show") != 0
    assert "--show: expected a display" in capsys.readouterr().err
    assert not list((tmp_path / "out").glob("talk*"))


def command(*args):
    return ["eyeline-train", "annotate", *map(str, args), "--device", "cpu"]


SLOWLY = ["--tta", "ten_crop", "--batch_size", 1]


def wait_for_frames(folder, running=None):
    """Wait until frames are being written."""
    while not list(folder.glob(".*.mp4")):
        assert running is None or running.poll() is None
        time.sleep(0.02)


def ctrl_c_after_some_frames(folder, then=None):
    def press():
        wait_for_frames(folder)
        time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGINT)
        if then is not None:
            time.sleep(0.2)
            then.set()

    threading.Thread(target=press, daemon=True).start()


def test_ctrl_c_leaves_nothing_of_a_file_that_is_not_done(simple, clips, tmp_path, capsys):
    ctrl_c_after_some_frames(tmp_path / "out")
    before = threading.active_count()
    assert annotate(clips / "carphone_pristine.mp4", "--ckpt", simple, "--out", "out", *SLOWLY) == 1
    assert "stopped" in capsys.readouterr().err
    assert list((tmp_path / "out").iterdir()) == []
    assert threading.active_count() <= before


@pytest.mark.slow
def test_a_run_that_is_killed_leaves_nothing_under_the_final_names(simple, clips, tmp_path):
    given = [clips / "carphone_pristine.mp4", "--ckpt", simple, *SLOWLY, "--out", tmp_path / "out"]
    running = subprocess.Popen(command(*given))
    wait_for_frames(tmp_path / "out", running)
    running.kill()
    running.wait(timeout=60)
    assert not list((tmp_path / "out").glob("carphone*"))


def serve(handler):
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server, f"127.0.0.1:{server.server_port}"


def test_a_streams_answers_are_those_of_its_file_and_its_password_is_not_shown(ckpt, talk, tmp_path, capsys):
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server, host = serve(partial(Quiet, directory=str(talk.parent)))
    try:
        assert annotate(f"http://anne:secret@{host}/talk.mp4", "--ckpt", ckpt, "--out", "out") == 0
        assert annotate(f"http://anne:secret@{host}/gone.mp4", "--ckpt", ckpt, "--out", "out") == 1
    finally:
        server.shutdown()
        server.server_close()
    shown = capsys.readouterr()
    assert "secret" not in shown.out + shown.err
    assert f"http://{host}/gone.mp4: expected" in shown.err
    assert annotate(talk, "--ckpt", ckpt, "--out", "file") == 0
    (table,) = (tmp_path / "out").glob("*.csv")
    assert table.read_bytes() == (tmp_path / "file" / "talk.csv").read_bytes()


def test_a_video_is_closed_after_the_thread_that_decodes_it_has_ended(simple, clips, monkeypatch):
    seen = []

    class Watched(curate.VideoReader):
        def __iter__(self):
            seen.append("decoding")
            try:
                yield from super().__iter__()
            finally:
                seen.append("ended")

        def __exit__(self, *args):
            seen.append("closed")
            super().__exit__(*args)

    monkeypatch.setattr("train.annotate.sources.VideoReader", Watched)
    given = [clips / "carphone_pristine.mp4", "--ckpt", simple, "--out", "out", "--video", "false"]
    assert annotate(*given, "--duration_s", "0.2") == 0
    assert seen == ["decoding", "ended", "closed"]


def test_ctrl_c_ends_a_stream_and_keeps_what_came(simple, pictures, tmp_path):
    encode(tmp_path / "some.ts", pictures * 10, rate=Fraction(25))
    content = (tmp_path / "some.ts").read_bytes()
    leave = threading.Event()

    class Endless(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(content)
            leave.wait(60)  # and never says that it is over

        def log_message(self, *_):
            pass

    server, host = serve(Endless)
    try:
        ctrl_c_after_some_frames(tmp_path / "out", leave)
        assert annotate(f"http://{host}/live", "--ckpt", simple, "--out", "out") == 0
    finally:
        leave.set()
        server.shutdown()
        server.server_close()
    (video,) = (tmp_path / "out").glob("*.mp4")
    assert len(read_video(video)[0]) == len(rows_of(next((tmp_path / "out").glob("*.csv")))) > 3
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
