"""What kills, Ctrl-C and full disks leave behind, and that the next run mends it."""

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from align import CropSpec
from align.batch import PARTS, Recipe

from .batch_runs import bytes_of, run_batch, save_photos

_COMMAND = (
    "import sys, align.batch.results as r; r.FLUSH_PICTURES = 3\n"
    "from align.cli import main\n"
    "if __name__ == '__main__': sys.exit(main(sys.argv[1:]))"
)
_DIE_AT_EVENT = """
import os, signal, sys
from pathlib import Path
left, onto = 0, ""
def hook(event, arguments):
    global left
    if event in ("os.rename", "os.remove", "os.rmdir", "os.mkdir"):
        left -= not onto or (event == "os.rename" and Path(arguments[1]).match(onto))
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
if __name__ == '__main__':  # not in the workers
    number, _, onto = sys.argv.pop(1).partition(":")
    left = int(number)
    sys.addaudithook(hook)
"""


def _start(*arguments: str, code: str = _COMMAND, **options: object) -> subprocess.Popen[str]:
    script = Path("command.py")
    script.write_text(code)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    return subprocess.Popen(
        [sys.executable, str(script), *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, **options,
    )  # fmt: skip


def _children(pid: int) -> list[int]:
    try:
        found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except FileNotFoundError:
        return []
    return [int(child) for child in found]


def _wait_until(what: object, limit_s: float = 20.0) -> None:
    until = time.monotonic() + limit_s
    while not what():
        assert time.monotonic() < until, "it did not come"
        time.sleep(0.01)


def _many(photo: np.ndarray, count: int) -> list[str]:
    """Save pictures, among them two that fail or show nothing; give the command that aligns them."""
    save_photos(photo, *(f"p/{number}.png" for number in range(count)))
    Image.new("RGB", (64, 64), "white").save("p/blank.png")
    Path("p/cut.jpg").write_bytes(b"\xff\xd8\xff")
    return ["run", "p", "--size", "64", "--out", "out", "--json"]


def _kill_at_random(photo: np.ndarray, kills: int, seed: int) -> None:
    command = _many(photo, 16)
    run_batch("p", out="whole")
    random = np.random.default_rng(seed)
    for number in range(kills):
        workers = str(1 + number % 2)
        process = _start(*command, "--workers", workers)
        _wait_until(Path("out", PARTS).exists)
        time.sleep(random.uniform(0, 1.5))
        process.kill()
        process.communicate()
    process = _start(*command)
    _, error = process.communicate()
    assert process.returncode == 3, error
    assert bytes_of() == bytes_of("whole")


def test_five_kills_at_random_moments_change_nothing(photo: np.ndarray) -> None:
    _kill_at_random(photo, kills=5, seed=int.from_bytes(os.urandom(4)))


@pytest.mark.slow
def test_thirty_kills_at_random_moments_change_nothing(photo: np.ndarray) -> None:
    _kill_at_random(photo, kills=30, seed=int.from_bytes(os.urandom(4)))


def _kill_at_events(photo: np.ndarray, events: Iterable[str]) -> None:
    """Replace the result of another recipe by runs that kill themselves before a step, and one that does not."""
    command = _many(photo, 5)
    run_batch("p", out="whole")
    run_batch("p", recipe=Recipe(crop=CropSpec("arcface", 64)))
    killed = 0
    for event in events:
        process = _start(event, *command, code=_DIE_AT_EVENT + _COMMAND)
        process.communicate()
        assert process.returncode in (3, -signal.SIGKILL)
        killed += process.returncode != 3
    assert killed
    _start(*command).communicate()
    assert bytes_of() == bytes_of("whole")


@pytest.mark.parametrize("event", ["0:out/*.png", "0:out/faces.parquet"])
def test_a_kill_before_a_step_of_a_run_that_replaces_another_changes_nothing(photo: np.ndarray, event: str) -> None:
    _kill_at_events(photo, [event])


@pytest.mark.slow
def test_kills_before_each_step_of_a_run_that_replaces_another_change_nothing(photo: np.ndarray) -> None:
    _kill_at_events(photo, [str(number) for number in range(30)])


def test_going_back_to_a_recipe_after_a_killed_run_of_another_gives_its_own_crops(photo: np.ndarray) -> None:
    command = _many(photo, 6)
    run_batch("p")
    before = bytes_of()
    process = _start(*command, "--border", "reflect", "--template", "arcface", "--workers", "2")
    _wait_until(lambda: any(Path("out", PARTS).glob("*.parquet")))
    process.kill()
    process.communicate()
    assert bytes_of() != before
    run_batch("p")
    assert bytes_of() == before


def test_workers_die_with_the_run_that_started_them(photo: np.ndarray) -> None:
    command = _many(photo, 20)
    process = _start(*command, "--workers", "2")
    _wait_until(lambda: any(Path("out", PARTS).glob("*.parquet")))
    workers = _children(process.pid)
    assert len(workers) >= 2
    process.kill()
    process.communicate()
    _wait_until(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers), 5.0)


def test_a_worker_killed_from_outside_costs_nothing(photo: np.ndarray) -> None:
    command = _many(photo, 12)
    run_batch("p", out="whole")
    process = _start(*command, "--workers", "2")
    _wait_until(lambda: any(Path("out").glob("*.png")))
    for worker in _children(process.pid):
        if "spawn_main" in Path(f"/proc/{worker}/cmdline").read_text():
            os.kill(worker, signal.SIGKILL)
    _, error = process.communicate()
    assert process.returncode == 3, error
    assert "Traceback" not in error
    assert bytes_of() == bytes_of("whole")


def test_ctrl_c_stops_with_one_sentence_and_keeps_what_is_done(photo: np.ndarray) -> None:
    command = _many(photo, 40)
    process = _start(
        *command, "--workers", "2", start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background job ignores it
    )  # fmt: skip
    _wait_until(lambda: any(Path("out").glob("*.png")))
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does, to the workers as well
    _, error = process.communicate(timeout=60)
    assert process.returncode == 1, error
    assert error.strip().splitlines()[-1] == "stopped; run the same command again"
    assert "Traceback" not in error
    outcome = run_batch("p")
    assert 0 < outcome.kept < 40
    run_batch("p", out="whole")
    assert bytes_of() == bytes_of("whole")


def test_a_full_disk_is_one_sentence_and_running_again_goes_on(photo: np.ndarray) -> None:
    command = _many(photo, 6)

    def bound_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, 2_000))

    process = _start(*command, preexec_fn=bound_files)
    _, error = process.communicate()
    assert process.returncode == 1
    assert "out: expected room for crops and rows (File too large); make room, then run the same command" in error
    assert "Traceback" not in error
    run_batch("p")
    run_batch("p", out="whole")
    assert bytes_of() == bytes_of("whole")


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk takes root")
def test_a_small_disk_that_fills_up_is_one_sentence(photo: np.ndarray) -> None:
    command = _many(photo, 20)
    Path("out").mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=100k", "none", "out"], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("this machine mounts nothing")
    try:
        process = _start(*command)
        _, error = process.communicate()
        assert process.returncode == 1
        assert "out: expected room for crops and rows (No space left on device)" in error
        assert "Traceback" not in error
        subprocess.run(["mount", "-o", "remount,size=10m", "out"], check=True)
        outcome = run_batch("p")
        assert len(outcome.table) == 22
        run_batch("p", out="whole")
        assert bytes_of() == bytes_of("whole")
    finally:
        subprocess.run(["umount", "out"], check=True)


def test_a_script_that_guards_nothing_may_start_workers(tmp_path: Path) -> None:
    """A worker that ran the main module again would start workers itself; and each would import a whole command."""
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, pathlib, os.path\n"
        "import align\n"
        "print('once')\n"
        "with align.Crew(pathlib.Path.cwd(), 1) as crew:\n"
        "    print(crew.call(os.path.basename, 'a/b'))\n"
        "print(sys.modules['__main__'].__file__ == sys.argv[0], __spec__)\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True, timeout=100)
    assert done.stdout.split("\n")[:3] == ["once", "b", "True None"]
