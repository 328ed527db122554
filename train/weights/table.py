"""The cards as a table."""

from align import printable

from .cards import CARDS
from .find import find_file

COLUMNS = ("weights", "backbone", "px", "order", "licence", "file", "from")


def cards_table(*, places: bool = False) -> tuple[list[str], list[list[str]]]:
    """List the cards.

    Args:
        places: Whether to say last where each file lies on this machine.

    Returns:
        The columns' titles, and one row a card.

    Raises:
        UsageError: Several files of one card lie there.
    """
    rows = []
    for card in CARDS.values():
        wants = card.preprocess
        row = [card.name, card.network, str(wants.size_px), wants.order.upper(), card.licence]
        row += [" or ".join(card.files), card.url]
        if places:
            found = find_file(card)
            row.append(printable(found) if found else "with the installation" if card.layout == "dlib" else "")
        rows.append(row)
    return [*COLUMNS, "found"] if places else list(COLUMNS), rows
