"""The commands of `eyeline-train` that are not Lightning's: each module has `make_parser()` and `run(arguments)`."""
