"""One HTTP answer: no scheme but http and https, redirections bounded and never downgraded, every wait bounded."""

import contextlib
import http.client
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from urllib.error import HTTPError, URLError
from urllib.parse import urljoin, urlsplit
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
    UnknownHandler,
)

from .errors import ModelError

_CHUNK = 1 << 16
_REDIRECTS = {301, 302, 303, 307, 308}
_PASSING = {408, 425, 429, 500, 502, 503, 504}


@dataclass(frozen=True)
class Patience:
    """Bound what a download may take.

    Attributes:
        stall_s: Seconds to connect, and seconds without a byte.
        attempts: Connections in all; each goes on where the one before was cut off.
        pause_s: Seconds before the second attempt; each later pause is twice as long.
        redirects: Redirections of one attempt.
    """

    stall_s: float = 30.0
    attempts: int = 5
    pause_s: float = 1.0
    redirects: int = 5


class CutOffError(Exception):
    """An attempt failed in a way that another one may mend."""


class StaleError(CutOffError):
    """What arrived before is of no use any more; another attempt must start over."""


@contextlib.contextmanager
def open_url(url: str, headers: Mapping[str, str], patience: Patience) -> Iterator[http.client.HTTPResponse]:
    """Open a URL, follow its redirections, and yield the answer.

    Args:
        url: http or https.
        headers: Sent with each request.
        patience: How long to wait, and how many redirections to follow.

    Yields:
        The answer, its body not yet read; its status is one of success.

    Raises:
        ModelError: The server refuses, or leads to where we do not go.
        CutOffError: The network failed, or the server says that it is busy.
    """
    here = url
    for _ in range(patience.redirects + 1):
        try:
            response = _opener().open(Request(here, headers=dict(headers)), timeout=patience.stall_s)  # noqa: S310  file: has no handler
        except HTTPError as error:
            with error:
                here = _next_url(here, error)
            continue
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise _explain(here, error) from None
        with contextlib.closing(response):
            yield response
        return
    raise ModelError(
        f"{url}: expected at most {patience.redirects} redirections (found more); try again later, or get it by hand"
    )


def read_chunks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """Yield the body as it arrives, in pieces of at most 64 KiB, to its end or to where it is cut off.

    Raises:
        CutOffError: The network failed, or no byte came in time.
    """
    while True:
        try:
            chunk = response.read1(_CHUNK)
        except (OSError, http.client.HTTPException) as error:
            raise CutOffError(_say(error)) from None
        if not chunk:
            return
        yield chunk


def _opener() -> OpenerDirector:
    """Make an opener with less than urllib's usual one, which reads file: and ftp: and follows redirections itself."""
    opener = OpenerDirector()
    for handler in (
        ProxyHandler,
        HTTPHandler,
        HTTPSHandler,
        HTTPDefaultErrorHandler,
        HTTPErrorProcessor,
        UnknownHandler,
    ):
        opener.add_handler(handler())
    return opener


def _next_url(url: str, error: HTTPError) -> str:
    """Give the URL that a redirection leads to; any other answer becomes its error."""
    said = f"HTTP {error.code} {error.reason}"
    if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        raise StaleError(said)
    if error.code in _PASSING:
        raise CutOffError(said)
    if error.code not in _REDIRECTS:
        raise ModelError(f"{url}: expected the file (found {said}); get it by hand or try again later")
    secure = urlsplit(url).scheme == "https"
    try:
        target = urljoin(url, error.headers.get("Location") or "")
        trusted = urlsplit(target).scheme in ({"https"} if secure else {"http", "https"})
    except ValueError:
        target, trusted = error.headers["Location"], False
    if not trusted:
        raise ModelError(
            f"{url}: expected a redirection to {'https' if secure else 'http or https'} (found {target!r}); "
            f"check the proxy, or get the file by hand"
        )
    return target


def _explain(url: str, error: Exception) -> Exception:
    """Turn an error of the network into one that is worth another attempt, or one that is final."""
    reason = error.reason if isinstance(error, URLError) else error
    if isinstance(reason, ssl.SSLCertVerificationError):
        return ModelError(
            f"{url}: expected a valid certificate ({reason.verify_message}); check the clock and the proxy"
        )
    unread = isinstance(error, ValueError | http.client.InvalidURL)
    if unread or isinstance(reason, str):  # a URL that cannot be read, or a scheme of no handler
        return ModelError(f"{url!r}: expected a URL of http or https (found {reason}); get the file by hand")
    return CutOffError(_say(reason))


def _say(error: BaseException | str) -> str:
    if isinstance(error, TimeoutError):
        return "no byte came in time"
    return str(error) or repr(error)
