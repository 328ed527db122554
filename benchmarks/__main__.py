"""List the benchmarks, or run the one that is named."""

import sys
from importlib import import_module
from pkgutil import iter_modules

import benchmarks


def main() -> int:
    """Run `python -m benchmarks [NAME]`."""
    names = [module.name for module in iter_modules(benchmarks.__path__) if not module.name.startswith("_")]
    chosen = sys.argv[1:]
    if len(chosen) == 1 and chosen[0] in names:
        import_module(f"benchmarks.{chosen[0]}").main()
        return 0
    for name in names:
        said = (import_module(f"benchmarks.{name}").__doc__ or "").splitlines()[0]
        print(f"python -m benchmarks {name}: {said}")
    return 0 if not chosen else 2


if __name__ == "__main__":
    sys.exit(main())
