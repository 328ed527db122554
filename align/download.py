"""A file over HTTP into its `.part`: goes on where an earlier attempt was cut off, and stops at too many bytes.

The bytes are not trusted here: `align.store` checks them and only then gives them their name.
"""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from http import HTTPStatus
from http.client import HTTPResponse
from itertools import chain
from pathlib import Path

from .errors import ModelError
from .files import write_atomic
from .http_get import CutOffError, Patience, StaleError, open_url, read_chunks
from .models import tell_impostor

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are here, and those that there will be, where that is known."""

_HEAD = 256


@dataclass(frozen=True)
class Order:
    """Say what is downloaded.

    Attributes:
        url: From where, http or https.
        part: The file that grows; what an earlier attempt of any process left in it is gone on with.
        at_most: Bytes after which to stop.
        exact: The size in bytes, where it is known.
        must_declare: Whether the server must tell the size, because no sha256 tells a whole file from a cut one.
    """

    url: str
    part: Path
    at_most: int
    exact: int | None = None
    must_declare: bool = False


@dataclass(frozen=True)
class _Begun:
    """Hold what is known of a part: whose it is, how the server names its version, how long the whole is."""

    url: str
    validator: str
    total: int


def download(order: Order, patience: Patience, progress: Progress) -> bool:
    """Download a file into its part, over as many connections as it takes and `patience` allows.

    Args:
        order: What, and into which file.
        patience: How long and how often to try.
        progress: Told after each chunk.

    Returns:
        Whether some of the bytes are from an earlier attempt. The part is as long as the server and `order` say.

    Raises:
        ModelError: The server refuses, sends something else or too much, or cannot be reached often enough.
        OSError: The part cannot be written.
    """
    reason = ""
    for attempt in range(patience.attempts):
        if attempt:
            time.sleep(patience.pause_s * 2 ** (attempt - 1))
        try:
            return _attempt(order, patience, progress)
        except StaleError as stale:
            discard(order.part)
            reason = str(stale)
        except CutOffError as cut:
            reason = str(cut)
    raise ModelError(
        f"{order.url}: expected the whole file after {patience.attempts} attempts (the last one: {reason}); "
        f"check the network, then run the same command again"
    )


def discard(part: Path) -> None:
    """Remove a part and what is known of it."""
    _notes(part).unlink(missing_ok=True)  # first: a part without its notes is never gone on with
    part.unlink(missing_ok=True)


def _attempt(order: Order, patience: Patience, progress: Progress) -> bool:
    begun, offset = _read_begun(order)
    if begun is not None and offset == begun.total:  # an earlier run ended between the last byte and the rename
        return True
    headers = {"User-Agent": "eyeline", "Accept-Encoding": "identity"}
    if begun is not None:
        headers |= {"Range": f"bytes={offset}-", "If-Range": begun.validator}
    with open_url(order.url, headers, patience) as response:
        chunks = read_chunks(response)
        if resumed := response.status == HTTPStatus.PARTIAL_CONTENT:
            total: int | None = _require_rest(response, begun, offset)
        else:
            head = _read_head(chunks)
            total, offset = _require_whole(response, head, order), 0
            _begin(response, order, total)
            chunks = chain([head], chunks)
        _append(chunks, order, (offset, total), progress)
    return resumed


def _append(chunks: Iterator[bytes], order: Order, span: tuple[int, int | None], progress: Progress) -> None:
    """Write the chunks to the part, from the offset to the total of `span`.

    Raises:
        ModelError: More bytes come than there may be.
        CutOffError: Fewer bytes come than there must be.
    """
    offset, total = span
    with order.part.open("ab" if offset else "wb") as file:
        for chunk in chunks:
            offset += len(chunk)
            if offset > order.at_most:
                break
            file.write(chunk)
            progress(offset, total)
    if offset > order.at_most:
        discard(order.part)
        raise ModelError(_say_too_much(order, f"more than {order.at_most:,}"))
    wanted = order.exact if total is None else total
    if wanted is not None and offset != wanted:
        raise CutOffError(f"the connection ended after {offset:,} of {wanted:,} bytes")


def _require_rest(response: HTTPResponse, begun: _Begun | None, offset: int) -> int:
    """Check that an answer is the rest of the part, and give the total; else the part is of no use."""
    if begun is None:
        raise StaleError("a part of the file where the whole was asked for")
    expected = f"bytes {offset}-{begun.total - 1}/{begun.total}"
    found = response.headers.get("Content-Range")
    if found != expected:
        raise StaleError(f"expected Content-Range {expected!r} (found {found!r})")
    tag = response.headers.get("ETag", begun.validator)
    if begun.validator.startswith('"') and tag != begun.validator:
        raise StaleError("the file changed on the server")
    _require_plain(response, begun.url)
    return begun.total


def _require_whole(response: HTTPResponse, head: bytes, order: Order) -> int | None:
    """Check that an answer may be the whole file, by its headers and first bytes; give the size that it declares."""
    if response.status != HTTPStatus.OK:
        raise ModelError(f"{order.url}: expected the file (found HTTP {response.status}); get it by hand")
    _require_plain(response, order.url)
    instead = tell_impostor(head).removeprefix(", ")
    if not instead and response.headers.get_content_type() == "text/html":
        instead = "an HTML page"
    if instead:
        raise ModelError(f"{order.url}: expected the model file (found {instead}); check the network or get it by hand")
    declared = response.headers.get("Content-Length", "")
    total = int(declared) if declared.isascii() and declared.isdecimal() else None
    if total is None and order.must_declare:
        raise ModelError(
            f"{order.url}: expected an answer that tells its size (found none), because no sha256 of the file is "
            f"published; get it by hand"
        )
    if total is not None and (total > order.at_most or (order.exact is not None and total != order.exact)):
        raise ModelError(_say_too_much(order, f"{total:,}"))
    return total


def _require_plain(response: HTTPResponse, url: str) -> None:
    encoding = response.headers.get("Content-Encoding", "identity")
    if encoding.lower() != "identity":
        raise ModelError(f"{url}: expected the plain bytes (found Content-Encoding {encoding}); check the proxy")


def _say_too_much(order: Order, found: str) -> str:
    expected = f"at most {order.at_most:,}" if order.exact is None else f"{order.exact:,}"
    return f"{order.url}: expected {expected} bytes (found {found}); the file there is another one: do not use it"


def _read_head(chunks: Iterator[bytes]) -> bytes:
    """Read enough to tell a model from what stands in its place."""
    head = b""
    for chunk in chunks:
        head += chunk
        if len(head) >= _HEAD:
            break
    return head


def _notes(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _begin(response: HTTPResponse, order: Order, total: int | None) -> None:
    """Forget the old part; note how to go on with the new one, where the server names the version of its file."""
    discard(order.part)
    tag = response.headers.get("ETag", "")
    validator = tag if tag.startswith('"') else response.headers.get("Last-Modified")  # W/ tags are not byte for byte
    if validator and total is not None:
        write_atomic(_notes(order.part), json.dumps(asdict(_Begun(order.url, validator, total))))


def _read_begun(order: Order) -> tuple[_Begun | None, int]:
    """Read what can be gone on with; None and 0 where nothing can."""
    try:
        offset = order.part.stat().st_size
        begun = _Begun(**json.loads(_notes(order.part).read_bytes()))
    except (FileNotFoundError, ValueError, TypeError):  # none, or notes that are not ours
        return None, 0
    fits = isinstance(begun.total, int) and 0 < offset <= begun.total <= order.at_most
    if not fits or begun.url != order.url or order.exact not in (None, begun.total):
        return None, 0
    return begun, offset
