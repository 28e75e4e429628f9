"""An HTTP proxy on this machine that injects network faults between a client and a double of S3 or Glue.

    with FaultProxy(s3_server.url, share=0.1, seed=7) as proxy:
        client = boto3.client("s3", endpoint_url=proxy.url)

| kind | what the upstream does | what the client sees |
|---|---|---|
| `lost` | performs the request | no answer: a closed connection, or silence for `hold_seconds` |
| `late` | performs the request later | a closed connection, at once |
| `doubled` | performs the request now and again later | the first answer |
| `retried` | performs the request twice in a row | the second answer |
| `truncated` | performs the request (GET only) | an answer whose body ends halfway |

Requests are passed on byte for byte, so signatures stay valid. Requests and answers are held in memory whole.
"""

from __future__ import annotations

import random
import select
import socket
import socketserver
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from io import BufferedIOBase
from types import TracebackType
from urllib.parse import urlsplit

from gluewright_testing.errors import FaultProxyError
from gluewright_testing.http_messages import Message, bad_gateway, read_answer, read_request

KINDS = ("lost", "late", "doubled", "retried", "truncated")
_HOST = "127.0.0.1"
_UPSTREAM_TIMEOUT = 120.0

Matching = Callable[[str, str, Mapping[str, str]], bool]


@dataclass(frozen=True, eq=False)
class _Late:
    """A request that is delivered later: at a time, or when this many requests have passed."""

    request: Message
    at: float | None
    passed: int | None


class FaultProxy:
    """A proxy in front of one server on 127.0.0.1 that injects faults; a context manager.

    Which request gets which fault depends on the seed, the request's method and path, and how often they came before.
    The same requests meet the same faults, also when several clients send them in another order.

    Args:
        upstream_url: of the server, such as ``http://127.0.0.1:5000``.
        share: the probability of a fault per matching request.
        seed: another seed gives other faults.
        kinds: the kinds of faults to inject; ``truncated`` only ever meets a GET.
        matching: called with the method, the path with its query, and the headers by lower-case name; returns whether the
            request may meet a fault. By default each may.
        hold_seconds: how long a client whose answer is lost waits before its connection is closed; 0 closes it at once.
        late_seconds: a late request that waits for a time is delivered within this many seconds.
        late_requests: a late request that waits for others is delivered when 1 to this many have passed, before the last
            of them is answered.

    Raises:
        FaultProxyError: the server is not on 127.0.0.1, or a kind is unknown.
    """

    def __init__(
        self,
        upstream_url: str,
        *,
        share: float = 0.1,
        seed: int = 0,
        kinds: Collection[str] = KINDS,
        matching: Matching | None = None,
        hold_seconds: float = 0.0,
        late_seconds: float = 1.0,
        late_requests: int = 5,
    ) -> None:
        upstream = urlsplit(upstream_url)
        if upstream.scheme != "http" or upstream.hostname != _HOST or upstream.port is None:
            raise FaultProxyError(f"{upstream_url!r} is not a server on this machine; give http://{_HOST}:<port>")
        if unknown := sorted(set(kinds) - set(KINDS)):
            raise FaultProxyError(f"unknown kind of fault {unknown[0]!r}; there are {', '.join(KINDS)}")
        self._port, self._share, self._seed = upstream.port, share, seed
        self._kinds = [kind for kind in KINDS if kind in kinds]
        self._matching = matching
        self._hold_seconds, self._late_seconds, self._late_requests = hold_seconds, late_seconds, late_requests
        self._changed = threading.Condition()
        self._delivering = threading.RLock()
        self._seen: Counter[tuple[str, ...]] = Counter()
        self._counts: Counter[str] = Counter()
        self._late: list[_Late] = []
        self._passed = 0
        self._stopped = False
        self._clients: set[socket.socket] = set()
        self._server = _Server(self)

    @property
    def url(self) -> str:
        """The proxy's own URL: the endpoint for clients."""
        return f"http://{_HOST}:{self._server.server_address[1]}"

    @property
    def counts(self) -> dict[str, int]:
        """The number of injected faults by kind."""
        with self._changed:
            return {kind: self._counts[kind] for kind in self._kinds}

    def __enter__(self) -> FaultProxy:
        for target in (lambda: self._server.serve_forever(poll_interval=0.05), self._deliver_in_time):
            threading.Thread(target=target, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Stop, and close every connection. Requests that are still late never arrive."""
        with self._changed:
            self._stopped = True
            self._late.clear()
            self._changed.notify_all()
            clients = list(self._clients)
        self._server.shutdown()
        self._server.server_close()
        for client in clients:
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    def drain(self) -> int:
        """Deliver every late request now, in the order in which they came.

        Returns:
            How many requests were delivered.
        """
        # Whoever delivers holds this lock: what is under way has arrived too, once it is free.
        with self._delivering:
            return self._deliver(lambda _: True)

    # --- one connection of a client ---

    def _serve_client(self, client: socket.socket, stream: BufferedIOBase) -> None:
        with self._changed:
            self._clients.add(client)
        try:
            with suppress(OSError, ValueError):
                while (request := read_request(stream, client)) is not None and self._serve(request, client):
                    pass
        finally:
            with self._changed:
                self._clients.discard(client)

    def _serve(self, request: Message, client: socket.socket) -> bool:
        """Pass on one request with the fault that is drawn for it; return whether the connection stays open."""
        kind, draw = self._draw(request)
        if kind == "late":
            self._delay(request, kind, draw)
            return False
        try:
            answer = self._forward(request)
            if kind == "retried":
                answer = self._forward(request)
        except (OSError, ValueError) as error:
            client.sendall(bad_gateway(error))
            return False
        self._pass()
        if kind == "doubled":
            self._delay(request, kind, draw)
        if kind == "truncated" and not answer.body:
            kind = ""
        if kind in {"lost", "retried", "truncated"}:
            self._count(kind)
        if kind == "lost":
            self._hold(client)
            return False
        client.sendall(answer.head + (answer.body[: len(answer.body) // 2] if kind == "truncated" else answer.body))
        return kind != "truncated" and request.keeps_connection

    def _draw(self, request: Message) -> tuple[str, random.Random]:
        """Return the kind of fault for a request, empty for none, and the dice that chose it."""
        method, path = request.first_line[:2]
        kinds = [kind for kind in self._kinds if kind != "truncated" or method == "GET"]
        if not kinds or (self._matching is not None and not self._matching(method, path, request.headers)):
            return "", random.Random()  # noqa: S311 - no secret
        # Glue's requests all go to the same path; this header says what they ask for.
        what = (method, path, request.headers.get("x-amz-target", ""))
        with self._changed:
            self._seen[what] += 1
            draw = random.Random(f"{self._seed} {what} {self._seen[what]}")  # noqa: S311
        return (draw.choice(kinds) if draw.random() < self._share else ""), draw

    def _count(self, kind: str) -> None:
        with self._changed:
            self._counts[kind] += 1

    def _hold(self, client: socket.socket) -> None:
        """Keep a connection open without an answer, until the time is over or the client has left."""
        until = time.monotonic() + self._hold_seconds
        while not self._stopped and (left := until - time.monotonic()) > 0:
            readable, _, _ = select.select([client], [], [], min(left, 0.1))
            if readable and not client.recv(1, socket.MSG_PEEK):
                return
            time.sleep(0.01)

    # --- the upstream ---

    def _forward(self, request: Message) -> Message:
        with socket.create_connection((_HOST, self._port), timeout=_UPSTREAM_TIMEOUT) as upstream:
            # A server that refuses a request may close its side before it read the body; its answer is there all the same.
            with suppress(ConnectionError):
                upstream.sendall(request.head + request.body)
            with upstream.makefile("rb") as stream:
                return read_answer(stream, request.first_line[0])

    def _delay(self, request: Message, kind: str, draw: random.Random) -> None:
        with self._changed:
            self._counts[kind] += 1
            if draw.random() < 0.5:
                late = _Late(request, time.monotonic() + draw.uniform(0, self._late_seconds), None)
            else:
                late = _Late(request, None, self._passed + draw.randint(1, self._late_requests))
            self._late.append(late)
            self._changed.notify_all()

    def _pass(self) -> None:
        """Count a request that has passed, and deliver what waited for it."""
        with self._changed:
            self._passed += 1
            passed = self._passed
            waited_for = any(late.passed is not None and late.passed <= passed for late in self._late)
        if waited_for:
            with self._delivering:
                self._deliver(lambda late: late.passed is not None and late.passed <= passed)

    def _deliver_in_time(self) -> None:
        while True:
            with self._changed:
                times = [late.at for late in self._late if late.at is not None]
                if self._stopped:
                    return
                if not times or min(times) > time.monotonic():
                    self._changed.wait(min(times) - time.monotonic() if times else None)
                    continue
            with self._delivering:
                self._deliver(lambda late: late.at is not None and late.at <= time.monotonic())

    def _deliver(self, due: Callable[[_Late], bool]) -> int:
        with self._changed:
            found = [late for late in self._late if due(late)]
            self._late = [late for late in self._late if late not in found]
        for late in found:
            with suppress(OSError, ValueError):
                self._forward(late.request)
        return len(found)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, proxy: FaultProxy) -> None:
        self.proxy = proxy
        super().__init__((_HOST, 0), _Client)


class _Client(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True
    server: _Server

    def handle(self) -> None:
        self.server.proxy._serve_client(self.connection, self.rfile)
