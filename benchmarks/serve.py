"""The rate of a server and its delays: one row a request, from several clients at once.

    hpo serve model --port 8000
    python benchmarks/serve.py http://127.0.0.1:8000 --clients 8 --seconds 10

Each client keeps its connection and asks again once it has an answer.
"""

from __future__ import annotations

import argparse
import http.client
import json
import multiprocessing
import time
from typing import Any
from urllib.parse import urlsplit


def ask(host: str, port: int, body: bytes, seconds: float) -> list[float]:
    """The delay of each request of a client, in seconds."""
    connection = http.client.HTTPConnection(host, port, timeout=60)
    delays, end = [], time.monotonic() + seconds
    while (start := time.monotonic()) < end:
        connection.request("POST", "/predict", body, {"Content-Type": "application/json"})
        reply = connection.getresponse()
        answer = reply.read()
        if reply.status != 200:
            raise SystemExit(answer.decode())
        delays.append(time.monotonic() - start)
    return delays


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--rows", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=10.0)
    given = parser.parse_args()
    url = urlsplit(given.url)
    assert url.hostname
    assert url.port
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=60)
    connection.request("GET", "/schema")
    schema: dict[str, Any] = json.loads(connection.getresponse().read())
    body = json.dumps({"rows": [schema["example"]] * given.rows}).encode()
    each = (url.hostname, url.port, body, given.seconds)
    with multiprocessing.Pool(given.clients) as pool:
        found = pool.starmap(ask, [each] * given.clients)
    delays = sorted(delay for one in found for delay in one)
    at = {share: 1000 * delays[int(share * (len(delays) - 1))] for share in (0.5, 0.99, 1.0)}
    rate = len(delays) / given.seconds
    print(
        f"{given.clients} clients, {given.rows} rows a request: {rate:,.0f} requests/s, "
        f"{rate * given.rows:,.0f} rows/s; delay: median {at[0.5]:.1f} ms, "
        f"99 % {at[0.99]:.1f} ms, longest {at[1.0]:.1f} ms"
    )


if __name__ == "__main__":
    main()
