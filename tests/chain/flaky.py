"""An HTTP proxy before a JSON-RPC endpoint that misbehaves on command."""

from __future__ import annotations

import json
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable

Fault = str
"""`lost request`: never forwarded. `lost answer`: forwarded, then the connection is cut. `half answer`: cut within
the body it announced. `broken json`: cut, and announced so. `busy`: status 503."""


class FlakyProxy:
    """Forwards everything, except where `plan` names a fault for a method; counts what it saw.

    `plan(method, nth)` gets the method and how often it was seen, from 1, and returns a fault or None.
    """

    def __init__(self, target: str, plan: Callable[[str, int], Fault | None]) -> None:
        self.seen: list[tuple[str, Any]] = []
        self._lock = threading.Lock()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                call = json.loads(body)
                with proxy._lock:
                    proxy.seen.append((call["method"], call["params"]))
                    nth = sum(method == call["method"] for method, _ in proxy.seen)
                fault = plan(call["method"], nth)
                if fault == "busy":
                    self.send_error(503)
                    return
                answer = b"" if fault == "lost request" else proxy._forward(target, body)
                if fault in {"lost request", "lost answer"}:
                    self.close_connection = True
                    return
                if fault == "broken json":
                    answer = answer[: len(answer) // 2]
                self.send_response(200)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer[: len(answer) // 2] if fault == "half answer" else answer)
                self.close_connection = fault == "half answer"

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_: object) -> None:
                """A client that hung up is the point of the exercise; what goes wrong otherwise fails the test itself."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def count(self, method: str) -> int:
        return sum(seen == method for seen, _ in self.seen)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _forward(self, target: str, body: bytes) -> bytes:
        request = urllib.request.Request(target, body, {"Content-Type": "application/json"})  # noqa: S310
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return bytes(answer.read())
