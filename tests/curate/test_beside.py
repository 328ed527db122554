import threading
import time

import pytest

from curate.beside import Beside


def test_work_is_done_in_another_thread_in_the_order_in_which_it_was_given() -> None:
    done: list[tuple[int, int]] = []

    def work(number: int) -> None:
        time.sleep(0.01 if number == 0 else 0.0)
        done.append((number, threading.get_ident()))

    with Beside(100) as beside:
        for number in range(20):
            beside.do(work, number)
        beside.finish()
        assert [number for number, _ in done] == list(range(20))
    (thread,) = {thread for _, thread in done}
    assert thread != threading.get_ident()


def test_no_more_waits_than_was_said() -> None:
    gate, started = threading.Event(), 0

    def work() -> None:
        nonlocal started
        started += 1
        gate.wait(10)

    with Beside(3) as beside:
        for _ in range(3):
            beside.do(work)
        threading.Timer(0.2, gate.set).start()
        begun = time.monotonic()
        beside.do(work)  # has to wait for the first one
        assert time.monotonic() - begun > 0.15
        beside.finish()
    assert started == 4


def test_an_error_comes_out_and_what_waits_is_left_undone() -> None:
    done: list[int] = []

    def fail() -> None:
        raise OSError("no space left")

    with Beside(2) as beside:
        beside.do(fail)
        with pytest.raises(OSError, match="no space left"):
            beside.finish()
    with Beside(100) as beside:
        beside.do(time.sleep, 0.1)
        for number in range(50):
            beside.do(done.append, number)
    assert len(done) < 50
