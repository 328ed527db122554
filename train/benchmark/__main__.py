"""One measurement in a process of its own: the case as JSON on stdin, the figures as JSON on stdout."""

import json
import sys

from align import EyelineError, console

from .plan import Case


def main() -> int:
    """Measure the case; what is wrong with it stands in the answer as `error`."""
    from .measure import measure

    case = Case(**json.load(sys.stdin))
    try:
        console.emit_json(measure(case))
    except EyelineError as error:
        console.emit_json({"error": str(error)})
    return console.DONE


if __name__ == "__main__":
    sys.exit(main())
