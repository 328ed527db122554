"""What else may be chosen of a backbone of ours: options by name, each one of a few words."""

from collections.abc import Mapping

from align import UsageError

Known = Mapping[str, tuple[str, ...]]
"""Of each option the words that it may have, the default first."""


def choose(name: str, known: Known, given: Mapping[str, str]) -> dict[str, str]:
    """Give every option of a backbone, those that are not given by default.

    Args:
        name: Of the backbone.
        known: Its options.
        given: What was asked for.

    Raises:
        UsageError: There is no such option, or it has no such word.
    """
    for option, word in given.items():
        if option not in known:
            there = f"one of {', '.join(known)}" if known else f"none for {name}, which has no options"
            raise UsageError(f"model.backbone.options: expected {there} (got {option!r}); leave it out")
        if word not in known[option]:
            words = " or ".join(known[option])
            raise UsageError(f"model.backbone.options.{option}: expected {words} for {name} (got {word!r})")
    return {option: given.get(option, words[0]) for option, words in known.items()}
