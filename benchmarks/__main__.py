"""List the benchmarks, or run the one that is named."""

import inspect
import sys
from importlib import import_module
from pkgutil import iter_modules

import benchmarks


def names() -> list[str]:
    """List the benchmarks, in order, as they are called on the command line."""
    modules = [module.name for module in iter_modules(benchmarks.__path__) if not module.name.startswith("_")]
    return [name.replace("_", "-") for name in modules if name != "__main__"]


def main(arguments: list[str]) -> int:
    """Run `python -m benchmarks [NAME [OPTION...]]`."""
    chosen, options = arguments[:1], arguments[1:]
    if chosen and chosen[0].replace("_", "-") in names():
        run = import_module(f"benchmarks.{chosen[0].replace('-', '_')}").main
        if options and not inspect.signature(run).parameters:
            print(f"benchmarks {chosen[0]} takes no options (got {' '.join(options)})", file=sys.stderr)
            return 2
        run(*options)
        return 0
    for name in names():
        said = (import_module(f"benchmarks.{name.replace('-', '_')}").__doc__ or "").splitlines()[0]
        print(f"python -m benchmarks {name}: {said}")
    return 2 if chosen else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
