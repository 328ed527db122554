"""A real HTTP server that misbehaves on demand: each request takes the next step of a script."""

import hashlib
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from align import ModelError
from align.http_get import Patience
from align.models import ModelFile
from align.store import fetch

BODY = np.random.default_rng(0).bytes(200_000)
NPY = b"\x93NUMPY" + BODY
QUICK = Patience(stall_s=10, attempts=3, pause_s=0, redirects=3)


class Script:
    """What the server holds, what it does next, and what it was asked."""

    def __init__(self) -> None:
        self.body = b""
        self.tag: str | None = '"one"'
        self.steps: deque[str] = deque()
        self.asked: list[dict[str, str]] = []
        self.release = threading.Event()
        self.url = ""
        self.sent = 0

    def load(self, body: bytes, *steps: str, tag: str | None = '"one"') -> None:
        self.body, self.tag, self.steps = body, tag, deque(steps)
        self.asked.clear()

    @property
    def ranges(self) -> list[str | None]:
        return [headers.get("Range") for headers in self.asked]

    def card(self, body: bytes, name: str = "model.dat", url: str = "/model.dat", **known: Any) -> ModelFile:
        known = {"sha256": hashlib.sha256(body).hexdigest(), "size": len(body)} | known
        return ModelFile(name=name, licence="", commercial="yes", url=self.url + url, used_by=("tester",), **known)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    script: Script

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self.close_connection = True
        self.script.asked.append(dict(self.headers))
        step = self.script.steps.popleft() if self.script.steps else "whole"
        with suppress(BrokenPipeError, ConnectionResetError):  # the other side had enough
            getattr(self, f"_{step}")()

    def _send(self, body: bytes, code: int = 200, length: int | None = None, **headers: str | None) -> None:
        self.send_response(code)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in headers.items():
            if value is not None:
                self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def _rest(self) -> tuple[int, bytes, dict[str, Any]]:
        """Give the answer of a server that knows Range and If-Range."""
        body, tag = self.script.body, self.script.tag
        asked = self.headers.get("Range")
        if asked is None or self.headers.get("If-Range") != tag:
            return 200, body, {"ETag": tag}
        start = int(asked.removeprefix("bytes=").removesuffix("-"))
        return 206, body[start:], {"ETag": tag, "Content_Range": f"bytes {start}-{len(body) - 1}/{len(body)}"}

    def _whole(self) -> None:
        code, body, headers = self._rest()
        self._send(body, code, **headers)

    def _cut(self) -> None:
        code, body, headers = self._rest()
        self._send(body[: len(body) // 2], code, len(body), **headers)

    def _stall(self) -> None:
        code, body, headers = self._rest()
        self._send(body[: len(body) // 2], code, len(body), **headers)
        self.wfile.flush()
        self.script.release.wait(10)

    def _drip(self) -> None:
        code, body, headers = self._rest()
        self._send(b"", code, len(body), **headers)
        for start in range(0, len(body), len(body) // 8):
            self.wfile.write(body[start : start + len(body) // 8])
            threading.Event().wait(0.05)

    def _silent(self) -> None:
        self.script.release.wait(10)

    def _drop(self) -> None:
        pass

    def _no_range(self) -> None:
        self._send(self.script.body, ETag=self.script.tag)

    def _wrong_range(self) -> None:
        body = self.script.body
        self._send(body, 206, ETag=self.script.tag, Content_Range=f"bytes 0-{len(body) - 1}/{len(body)}")

    def _changed_206(self) -> None:
        code, body, headers = self._rest()
        self._send(body, code, **(headers | {"ETag": '"three"'}))

    def _old_cut(self) -> None:
        """Send half of what the file was before it changed."""
        old = bytes(byte ^ 1 for byte in self.script.body)
        self._send(old[: len(old) // 2], 200, len(old), ETag='"old"')

    def _corrupt(self) -> None:
        body = bytearray(self.script.body)
        body[len(body) // 2] ^= 1
        self._send(bytes(body), ETag=self.script.tag)

    def _corrupt_cut(self) -> None:
        body = bytearray(self.script.body)
        body[len(body) // 4] ^= 1
        self._send(bytes(body[: len(body) // 2]), 200, len(body), ETag=self.script.tag)

    def _too_many(self) -> None:
        self._send(self.script.body + b"x" * 50_000, ETag=self.script.tag)

    def _too_many_chunked(self) -> None:
        self._chunked(self.script.body + b"x" * 50_000)

    def _whole_chunked(self) -> None:
        self._chunked(self.script.body)

    def _chunked(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for start in range(0, len(body), 10_000):
            piece = body[start : start + 10_000]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")

    def _endless(self) -> None:
        """Send up to 100 MB, and count them."""
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for _ in range(1000):
            self.wfile.write(b"186a0\r\n" + b"x" * 100_000 + b"\r\n")
            self.script.sent += 100_000
        self.wfile.write(b"0\r\n\r\n")

    def _cut_untagged(self) -> None:
        self._send(self.script.body[: len(self.script.body) // 2], 200, len(self.script.body))

    def _short(self) -> None:
        self._send(self.script.body[:-100], ETag=self.script.tag)

    def _redirect(self) -> None:
        self._send(b"", 302, Location="/elsewhere")

    def _loop(self) -> None:
        self.script.steps.appendleft("loop")
        self._send(b"", 302, Location="/again")

    def _to_file(self) -> None:
        self._send(b"", 302, Location="file:///etc/passwd")

    def _to_nonsense(self) -> None:
        self._send(b"", 302, Location="http://[broken")

    def _nowhere(self) -> None:
        self._send(b"", 302)

    def _e404(self) -> None:
        self._send(b"no such file", 404)

    def _e500(self) -> None:
        self._send(b"oh", 500)

    def _e416(self) -> None:
        self._send(b"", 416)

    def _e204(self) -> None:
        self.send_response(204)
        self.end_headers()

    def _html(self) -> None:
        self._send(b"\n<!DOCTYPE html><html><body>Log in to the network</body></html>", Content_Type="text/html")

    def _html_in_disguise(self) -> None:
        self._send(b"<html>" + b" " * (len(self.script.body) - 6), Content_Type="application/octet-stream")

    def _lfs(self) -> None:
        self._send(b"version https://git-lfs.github.com/spec/v1\noid sha256:8f2383e4\nsize 232589\n")

    def _gzip(self) -> None:
        self._send(self.script.body, Content_Encoding="gzip")


@contextmanager
def serving() -> Iterator[Script]:
    """Serve on a free port while the block runs."""
    script = Script()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"script": script}))
    server.daemon_threads = True
    script.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield script
    finally:
        script.release.set()
        server.shutdown()
        server.server_close()
        thread.join()


def refuse(target: Path, patience: Patience = QUICK) -> str:
    """Fetch, expect one sentence and no file, and give the sentence."""
    with pytest.raises(ModelError) as caught:
        fetch(target.name, patience=patience)
    assert not target.exists()
    assert not target.with_name(f"{target.name}.sha256").exists()
    told = str(caught.value)
    assert "\n" not in told
    assert "expected" in told
    assert "found" in told or "last one" in told
    return told
