"""The HTTP server of a trained model: `hpo serve`.

It is that of the standard library, with limits on bodies, rows, connections and the time of a
request. Whatever a client sends, it gets a sentence, and the server goes on.
"""

from __future__ import annotations

import ipaddress
import json
import shlex
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from hpo.trained.serving.page import PAGE
from hpo.trained.serving.service import RequestError, Service

MOST_BYTES = 16 << 20
_MOST_CONNECTIONS = 64
_PIECE = 1 << 16
_POLL_SECONDS = 0.1  # in which the loop of the server notices that it ends
_MOST_SHOWN = 2000  # characters
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_PATHS = {"/": "GET", "/schema": "GET", "/health": "GET", "/metrics": "GET", "/predict": "POST"}
_HTML, _JSON, _TEXT = "text/html; charset=utf-8", "application/json", "text/plain; version=0.0.4"


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a server at an address."""
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host in _LOOPBACK


class Server(ThreadingHTTPServer):
    """Serves one model on a host and port; port 0 takes a free one."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, service: Service, host: str, port: int, request_seconds: float) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), _Handler)
        self.service, self.request_seconds = service, request_seconds
        # A page of another site could give its name our address.
        self.names = {*_LOOPBACK, host} if is_loopback(host) else None
        self.seats = threading.BoundedSemaphore(_MOST_CONNECTIONS)
        self.is_ending = False
        self._answering, self._changed = 0, threading.Condition()

    def serve_until_terminated(self, begun: Callable[[], None]) -> None:
        """Serve until SIGTERM, which containers send; then finish the requests that have come.

        A second SIGTERM ends the process at once. `begun` is called when the first would be heard.
        """

        def end(*_: object) -> None:
            self.is_ending = True
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            # The loop, which this handler interrupts, has to go on to notice that it ends.
            threading.Thread(target=self.shutdown, daemon=True).start()

        old = signal.signal(signal.SIGTERM, end)
        try:
            begun()
            self.serve_forever(_POLL_SECONDS)
            self.socket.close()  # so that others are told to go elsewhere
            time.sleep(_POLL_SECONDS)  # in which a connection that was just taken is read
            with self._changed:
                self._changed.wait_for(lambda: not self._answering)
        finally:
            signal.signal(signal.SIGTERM, old)

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Count a request as one that is to be answered before the server ends."""
        with self._changed:
            self._answering += 1
        try:
            yield
        finally:
            with self._changed:
                self._answering -= 1
                self._changed.notify_all()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Take a connection, or refuse it where there are too many."""
        if self.seats.acquire(blocking=False):
            super().process_request(request, client_address)
            return
        text = b'{"error": "too many connections: try again later."}\n'
        head = f"HTTP/1.1 503 Busy\r\nContent-Length: {len(text)}\r\nConnection: close\r\n\r\n"
        with suppress(OSError):
            request.sendall(head.encode() + text)
        self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer the requests of a connection."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.seats.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that has gone."""


def url_of(server: Server) -> str:
    """The address of a server."""
    host, port = server.server_address[:2]
    name = f"[{host!s}]" if ":" in str(host) else str(host)
    return f"http://{name}:{port}/"


def curl_of(server: Server) -> str:
    """A command that asks a server for an answer; without rows where one is too long to read."""
    schema = server.service.schema()
    rows = json.dumps({"rows": [schema["example"]]}, ensure_ascii=False)
    is_short = len(rows) <= _MOST_SHOWN and schema.get("window", 1) == 1
    data = shlex.quote(rows) if is_short else "@rows.json"
    return f"curl {url_of(server)}predict -H 'Content-Type: application/json' -d {data}"


class _Handler(BaseHTTPRequestHandler):
    """Reads a request and writes an answer, in HTTP/1.1."""

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "hpo", ""
    disable_nagle_algorithm = True
    server: Server

    def setup(self) -> None:
        """Bound the time for which a client that reads nothing holds a thread."""
        super().setup()
        self.connection.settimeout(2 * self.server.request_seconds)

    def handle_one_request(self) -> None:
        """Read and answer a request, all of whose bytes must come in time."""
        self._begin_limit()
        # It counts from its first line on: an idle connection keeps no server from ending.
        with ExitStack() as self.work:
            try:
                super().handle_one_request()
            finally:
                self.limit.cancel()

    def parse_request(self) -> bool:
        """Read the head of a request, whose first line has come."""
        self.work.enter_context(self.server.answering())
        return super().parse_request()

    def _begin_limit(self) -> None:
        # A client that sends a byte now and then would keep a timeout of each read from ending.
        self.limit = threading.Timer(self.server.request_seconds, self._hang_up)
        self.limit.daemon = True
        self.limit.start()

    def _hang_up(self) -> None:
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RD)

    def do_GET(self) -> None:
        if any(name in self.headers for name in ("Content-Length", "Transfer-Encoding")):
            self.close_connection = True  # what follows is a body, and no other request
        self._answer("GET")

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        self._answer("POST")

    def _answer(self, method: str) -> None:
        path = self.path.partition("?")[0]
        try:
            status, kind, body = 200, *self._found(method, path)
        except RequestError as error:
            status, kind, body = error.status, _JSON, _json({"error": str(error)})
            self.close_connection = True
        except Exception as error:  # the server outlives a mistake of ours
            status, kind = 500, _JSON
            text = f"the model failed ({type(error).__name__}): this is a mistake of hpo."
            body = _json({"error": text})
            self.close_connection = True
        self.server.service.count(path if path in _PATHS else "other", status)
        self.close_connection |= self.server.is_ending
        self._send(status, kind, body)
        self.work.close()
        if self.close_connection:
            self._drain()

    def _drain(self) -> None:
        """Read some of what a refused client still sends, so that it gets to read the answer."""
        self.limit.cancel()
        self._begin_limit()
        left = 2 * MOST_BYTES
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            while left > 0 and (piece := self.rfile.read1(_PIECE)):
                left -= len(piece)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer a request that the standard library refuses."""
        why = " ".join((message or "").split())
        self.close_connection = True
        self.server.service.count("other", code)
        self._send(code, _JSON, _json({"error": f"the request is refused ({why:.100})."}))

    def _found(self, method: str, path: str) -> tuple[str, bytes]:
        self._check(method, path)
        service = self.server.service
        if path == "/predict":
            body = self._body()
            self.limit.cancel()
            return _JSON, _json(service.predict(body))
        if path == "/schema":
            return _JSON, _json(service.schema())
        if path == "/metrics":
            return _TEXT, service.metrics().encode()
        if path == "/health":
            return _JSON, _json({"status": "ok"})
        return _HTML, PAGE

    def _check(self, method: str, path: str) -> None:
        if self.headers.defects:  # a length may stand behind a line that ends the headers for us
            raise RequestError(400, "a line of the request's head is no header: correct it.")
        names, host = self.server.names, self.headers.get("Host", "")
        name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
        if names is not None and name.strip("[]") not in names:
            raise RequestError(403, "the request names another host: open the address itself.")
        if path not in _PATHS:
            raise RequestError(404, f"there is no such page: there are {', '.join(_PATHS)}.")
        if _PATHS[path] != method:
            raise RequestError(405, f"{path} takes {_PATHS[path]}, not {method}.")

    def _body(self) -> bytes:
        kind = self.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind != _JSON:  # which no page of another site may send unasked
            raise RequestError(415, "the body must be JSON: send Content-Type: application/json.")
        length = self._length()
        if length > MOST_BYTES:
            raise RequestError(
                413, f"the body is larger than {MOST_BYTES >> 20} MB: send the rows in parts."
            )
        try:
            body = self.rfile.read(length)
        except OSError:
            body = b""
        if len(body) < length:
            raise RequestError(408, "the body did not come whole, or not in time: send it again.")
        return body

    def _length(self) -> int:
        """The bytes of the body, where a proxy in front can read no other number of them."""
        lengths = self.headers.get_all("Content-Length", [])
        if "Transfer-Encoding" in self.headers:
            raise RequestError(400, "the body comes in chunks: send it whole, by Content-Length.")
        if not lengths:
            raise RequestError(411, "the length of the body is not known: send Content-Length.")
        (length,) = lengths if len(lengths) == 1 else ("",)
        if not (length.isascii() and length.isdecimal() and len(length) < 20):
            raise RequestError(400, "the length of the body is no single number: send one.")
        return int(length)

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cache-Control", "no-store")
        if kind == _HTML:
            rule = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
            self.send_header("Content-Security-Policy", f"{rule}; connect-src 'self'")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing for each request: /metrics counts them."""


def _json(value: Any) -> bytes:
    # A half of a surrogate pair, which JSON may escape, has no bytes of its own.
    return json.dumps(value, ensure_ascii=False, allow_nan=False).encode(errors="replace") + b"\n"
