"""Worker processes that end with the process that started them."""

import os
from multiprocessing import parent_process
from threading import Thread


def die_with_parent() -> None:
    """Watch the parent from now on and end this worker with it, so that it writes nothing into a run that resumes."""
    Thread(target=_wait_for_its_end, daemon=True).start()


def _wait_for_its_end() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
