"""A real server process, and clients that wish it no good."""

from __future__ import annotations

import http.client
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from hpo.trained.serving.server import is_loopback
from tests.checkout import ROOT

ROW = {"age": 40, "city": "Rome", "income": 40.5, "member": True, "when": "2024-03-01"}
JSON = {"Content-Type": "application/json"}
SECONDS = 1.0  # that a request may take to arrive


class Reply(NamedTuple):
    status: int
    body: bytes
    headers: http.client.HTTPMessage

    @property
    def error(self) -> str:
        text: str = json.loads(self.body)["error"]
        assert text.endswith(".")
        return text


class Client:
    """Asks a server; `curl` is the command that it printed."""

    def __init__(self, host: str, port: int, curl: str) -> None:
        self.host, self.port, self.curl = host, port, curl

    def ask(self, method: str, path: str, body: bytes | None = None, headers: Any = JSON) -> Reply:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=30)
        try:
            connection.request(method, path, body, headers)
            reply = connection.getresponse()
            return Reply(reply.status, reply.read(), reply.headers)
        finally:
            connection.close()

    def raw(self, content: bytes) -> bytes:
        """All that the server says to these bytes."""
        with socket.create_connection((self.host, self.port), timeout=30) as connection:
            connection.sendall(content)
            parts = []
            while part := connection.recv(1 << 16):
                parts.append(part)
            return b"".join(parts)

    def predict(self, value: Any) -> Reply:
        return self.ask("POST", "/predict", json.dumps(value).encode())


@pytest.fixture(scope="module")
def server(churn: Path) -> Iterator[tuple[Client, subprocess.Popen[str]]]:
    words = ["serve", str(churn / "model"), "--port", "0", "--seconds", str(SECONDS)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-m", "hpo", *words, "--device", "cpu", "--rows", "500"],
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    try:
        assert process.stderr is not None
        first, second = process.stderr.readline(), process.stderr.readline()
        found = re.search(r"http://(127\.0\.0\.1):(\d+)/", first)
        assert found, first
        yield Client(found[1], int(found[2]), second.removeprefix("try: ")), process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def client(server: tuple[Client, subprocess.Popen[str]]) -> Iterator[Client]:
    """A client, after whose test the server still answers."""
    yield server[0]
    assert server[1].poll() is None
    assert server[0].predict(ROW).status == 200


pytestmark = pytest.mark.long


def test_rows_pages_and_counts_are_served(client: Client) -> None:
    found = json.loads(client.predict({"rows": [ROW, ROW]}).body)
    assert [*found["answers"][0]] == ["churn", "churn_no", "churn_yes"]
    assert found["answers"][0] == found["answers"][1]
    assert json.loads(client.ask("GET", "/health").body) == {"status": "ok"}
    schema = json.loads(client.ask("GET", "/schema").body)
    assert client.predict(schema["example"]).status == 200
    page = client.ask("GET", "/")
    assert page.body.startswith(b"<!doctype html>")
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert b'hpo_requests_total{path="/predict",status="200"}' in client.ask("GET", "/metrics").body


def test_the_printed_command_asks_for_an_answer(client: Client) -> None:
    words = shlex.split(client.curl)
    rows = json.loads(words[words.index("-d") + 1])
    assert words[0] == "curl"
    assert words[words.index("-H") + 1] == "Content-Type: application/json"
    assert client.predict(rows).status == 200


def test_a_connection_serves_many_requests(client: Client) -> None:
    connection = http.client.HTTPConnection(client.host, client.port, timeout=30)
    for _ in range(5):
        connection.request("POST", "/predict", json.dumps(ROW), JSON)
        assert connection.getresponse().read()
    connection.close()


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status", "told"),
    [
        ("GET", "/../../etc/passwd", None, {}, 404, "there is no such page"),
        ("GET", "/predict", None, {}, 405, "/predict takes POST, not GET"),
        ("POST", "/schema", b"{}", JSON, 405, "/schema takes GET, not POST"),
        ("DELETE", "/predict", None, {}, 501, "the request is refused (Unsupported method"),
        ("POST", "/predict", b"{}", {}, 415, "send Content-Type: application/json"),
        ("POST", "/predict", b"a=1", {"Content-Type": "text/plain"}, 415, "must be JSON"),
        ("POST", "/predict", b"{", JSON, 400, "the body is no JSON"),
        ("POST", "/predict", b'[{"age": "x"}]', JSON, 422, "has no column"),
        ("POST", "/predict", b"[" + b"{}," * 600 + b"{}]", JSON, 413, "601 rows are more than 500"),
        ("POST", "/predict", b" " * (17 << 20), JSON, 413, "the body is larger than 16 MB"),
        ("POST", "/predict", b"{}", {**JSON, "Content-Length": "-1"}, 400, "no single number"),
        ("POST", "/predict", b"{}", {**JSON, "Content-Length": "9" * 30}, 400, "no single number"),
        ("POST", "/predict", b"{}", {**JSON, "Content-Length": "99"}, 408, "did not come whole"),
        ("POST", "/predict", b'{"\\ud800": [1]}', JSON, 422, "holds no number"),
        ("GET", "/health", None, {"Host": "evil.example"}, 403, "names another host"),
        ("GET", "/health", None, {"X": "y" * 70_000}, 431, "the request is refused"),
    ],
)
def test_a_hostile_request_gets_a_sentence(
    client: Client,
    method: str,
    path: str,
    body: bytes | None,
    headers: dict[str, str],
    status: int,
    told: str,
) -> None:
    reply = client.ask(method, path, body, headers)
    assert reply.status == status
    assert told in reply.error


@pytest.mark.parametrize(
    "content",
    [
        b"\x00\x01\x02\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b'GET "/<script> HTTP/1.1 x\r\n\r\n',
        b"GET / HTTP/1.1\r\nHost: localhost\r\n: : :\r\n\r\n",
    ],
)
def test_what_is_no_http_is_answered_or_dropped(client: Client, content: bytes) -> None:
    reply = client.raw(content)
    assert not reply or b'"error"' in reply or b"<!doctype html>" in reply


def test_the_body_of_a_page_is_no_further_request(client: Client) -> None:
    inner = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"
    head = f"GET /health HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(inner)}\r\n\r\n"
    reply = client.raw(head.encode() + inner)
    assert reply.count(b"HTTP/1.1 ") == 1
    assert b'"ok"' in reply


@pytest.mark.parametrize(
    "lengths",
    [
        "Content-Length: 2\r\nContent-Length: 40",
        "Content-Length: 40\r\nContent-Length: 2",
        "Content-Length: 2\r\nContent-Length: 2",
        "Content-Length: 2\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked",
        "Content-Length: 2, 40",
        "Content-Length: +2",
        "Content-Length : 40\r\nContent-Length: 2",
    ],
)
def test_a_body_of_unclear_length_ends_the_connection(client: Client, lengths: str) -> None:
    head = (
        f"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{lengths}"
    )
    inner = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"
    reply = client.raw(f"{head}\r\n\r\n{{}}{inner}".encode())
    assert reply.startswith(b"HTTP/1.1 400 ")
    assert reply.count(b"HTTP/1.1 ") == 1
    assert b"Connection: close" in reply


@pytest.mark.parametrize("row", [{"city": "\ud800"}, {**ROW, "city": "\ud800"}])
def test_half_a_character_is_refused(client: Client, row: Any) -> None:
    reply = client.predict(row)  # which JSON escapes, and UTF-8 has not
    assert reply.status == 422
    assert "half a character" in reply.error


@pytest.mark.parametrize("path", ["/", "/health"])
def test_head_is_answered_as_get_without_a_body(client: Client, path: str) -> None:
    head, page = client.ask("HEAD", path, headers={}), client.ask("GET", path)
    assert (head.status, head.body) == (200, b"")
    assert head.headers["Content-Length"] == str(len(page.body))


def test_a_server_for_all_machines_says_so_and_sigterm_lets_it_finish_what_has_come(
    churn: Path,
) -> None:
    words = ["serve", str(churn / "model"), "--port", "0", "--host", "0.0.0.0", "--device", "cpu"]
    process = subprocess.Popen(
        [sys.executable, "-m", "hpo", *words],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        assert process.stderr is not None
        lines = [process.stderr.readline() for _ in range(3)]
        assert lines[2].startswith("Everybody who reaches this machine can ask")
        found = re.search(r":(\d+)/", lines[0])
        assert found, lines
        _finishes_what_has_come(process, int(found[1]))
        assert process.stderr.read() == (
            "Ended by SIGTERM: all requests that had come are answered.\n"
        )
    finally:
        process.kill()
        process.communicate()


def _finishes_what_has_come(process: subprocess.Popen[str], port: int) -> None:
    """Send SIGTERM between the head and the body of a request, beside an idle connection."""
    body = json.dumps(ROW).encode()
    head = "POST /predict HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n"
    head += f"Content-Length: {len(body)}\r\nExpect: 100-continue\r\n\r\n"
    address = ("127.0.0.1", port)
    with (
        socket.create_connection(address, timeout=30),
        socket.create_connection(address, timeout=30) as busy,
    ):
        busy.sendall(head.encode())
        assert busy.recv(100).startswith(b"HTTP/1.1 100 Continue")
        process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + 30
        while _is_taken(address):
            assert time.monotonic() < deadline
        assert process.poll() is None
        busy.sendall(body)
        reply = b"".join(iter(lambda: busy.recv(1 << 16), b""))
    assert reply.startswith(b"HTTP/1.1 200 OK")
    assert b"Connection: close" in reply
    assert len(json.loads(reply.rpartition(b"\r\n")[2])["answers"]) == 1
    assert process.wait(timeout=120) == 0


def _is_taken(address: tuple[str, int]) -> bool:
    """Whether the server takes another connection."""
    try:
        socket.create_connection(address, timeout=30).close()
    except ConnectionResetError:  # it waited when the port was closed
        return True
    except ConnectionRefusedError:
        return False
    return True


@pytest.mark.parametrize(
    ("host", "is_so"),
    [
        ("127.0.0.1", True),
        ("127.0.0.2", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("192.168.1.7", False),
        ("example.org", False),
    ],
)
def test_names_are_checked_at_every_loopback_address(host: str, is_so: bool) -> None:
    assert is_loopback(host) == is_so


def test_a_slow_client_is_dropped_and_others_are_served_meanwhile(client: Client) -> None:
    slow = []
    for _ in range(20):
        one = socket.create_connection((client.host, client.port), timeout=30)
        one.sendall(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Le")
        slow.append(one)
    start = time.monotonic()
    assert client.predict(ROW).status == 200
    drips = 0

    def drip() -> None:
        nonlocal drips
        while time.monotonic() - start < 30:
            slow[0].sendall(b"n")
            drips += 1
            time.sleep(SECONDS / 5)

    # A byte now and then does not keep a connection open.
    with pytest.raises(OSError):
        drip()
    assert 0 < drips < 100
    for one in slow:
        one.close()


def test_more_connections_than_seats_are_told_so(client: Client) -> None:
    held = [socket.create_connection((client.host, client.port), timeout=30) for _ in range(64)]
    time.sleep(SECONDS / 4)  # until the server has taken them
    reply = client.raw(b"")
    assert reply.startswith(b"HTTP/1.1 503")
    assert b"too many connections" in reply
    for one in held:
        one.close()
    deadline = time.monotonic() + 30
    while client.raw(b"GET /health HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 503"):
        assert time.monotonic() < deadline


def test_many_clients_at_once_get_the_answers_that_they_get_alone(client: Client) -> None:
    ages = range(20, 80, 10)
    alone = [client.predict({**ROW, "age": age}).body.decode().strip() for age in ages]
    script = (
        "import http.client, json, sys\n"
        f"connection = http.client.HTTPConnection({client.host!r}, {client.port}, timeout=60)\n"
        "for _ in range(20):\n"
        f"    row = dict({ROW!r}, age=int(sys.argv[1]))\n"
        f"    connection.request('POST', '/predict', json.dumps(row), {JSON!r})\n"
        "    print(connection.getresponse().read().decode(), end='')\n"
    )
    before = rows_answered(client)
    asking = [
        subprocess.Popen([sys.executable, "-c", script, str(age)], stdout=subprocess.PIPE)
        for age in ages
    ]
    said = [one.communicate(timeout=120)[0].decode().splitlines() for one in asking]
    assert said == [[answer] * 20 for answer in alone]
    assert len({*alone}) > 1
    assert rows_answered(client) - before == len(ages) * 20


def rows_answered(client: Client) -> int:
    (count,) = re.findall(
        r"^hpo_rows_total (\d+)$", client.ask("GET", "/metrics").body.decode(), re.M
    )
    return int(count)


def test_a_taken_port_is_refused(client, churn, hpo):
    result = hpo("serve", str(churn / "model"), "--port", str(client.port), "--device", "cpu")
    assert result.code == 2
    assert result.err.startswith(f"--port {client.port}: cannot listen at 127.0.0.1 (")


def test_control_c_ends_the_server(
    server: tuple[Client, subprocess.Popen[str]],
) -> None:
    server[1].send_signal(signal.SIGINT)
    assert server[1].wait(timeout=120) == -signal.SIGINT
