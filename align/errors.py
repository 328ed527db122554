"""The errors a user of eyeline can see, each one sentence: what, where, expected, found, what to do."""


class EyelineError(Exception):
    """Say in one sentence why a job or an item failed; commands exit with 1."""

    exit_code = 1


class UsageError(EyelineError, ValueError):
    """Say what is wrong with the command, its options or a configuration file; commands exit with 2."""

    exit_code = 2


class ImageError(EyelineError, ValueError):
    """Say why a picture cannot be read."""


class ModelError(EyelineError, RuntimeError):
    """Say which model file is missing or wrong, and where to get it."""
