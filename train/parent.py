"""Starts processes that end with the one that started them, also where that one was killed and could not say so."""

import os
import sys
import time
from threading import Thread

_WATCH_S = 0.5


def command(module: str, *arguments: str) -> list[str]:
    """Give the command that runs `main()` of a module in a process that ends with this one.

    Args:
        module: Where `main` is; its imports are watched over, too.
        arguments: That it finds in `sys.argv`.
    """
    code = f"import sys; from {__name__} import end_with; end_with({os.getpid()}); from {module} import main"
    return [sys.executable, "-c", f"{code}; sys.exit(main())", *arguments]


def end_with(parent: int) -> None:
    """Watch from now on, and end this process with its parent, so that it writes nothing where another run goes on.

    Args:
        parent: The number of the process that started this one; it may have ended before this one could ask for it.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_WATCH_S)
        os._exit(1)

    Thread(target=watch, daemon=True).start()
