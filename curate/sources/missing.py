"""The error that a source's files are not there, to which the registry adds where to ask for them."""

from align import UsageError


class NothingFoundError(UsageError):
    """Say in one sentence which files of a source were expected and are not there."""
