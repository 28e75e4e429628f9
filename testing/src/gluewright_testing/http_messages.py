"""Read HTTP/1.1 requests and answers from a connection with their bytes as they came."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from io import BufferedIOBase

# A proxy has connections of its own on both sides, so these headers hold for one side only.
_OF_ONE_CONNECTION = (b"connection:", b"keep-alive:", b"proxy-connection:")


@dataclass(frozen=True, eq=False)
class Message:
    """A request or an answer.

    Attributes:
        lines: the first line and the headers, each with its line end.
        headers: the headers by lower-case name.
        body: the body as it was sent, with the frames of a chunked transfer.
    """

    lines: tuple[bytes, ...]
    headers: Mapping[str, str]
    body: bytes

    @property
    def head(self) -> bytes:
        """Everything before the body."""
        return b"".join(self.lines) + b"\r\n"

    @property
    def first_line(self) -> list[str]:
        """The words of the first line."""
        return self.lines[0].decode("latin-1").split(maxsplit=2)

    @property
    def keeps_connection(self) -> bool:
        """Whether the client that sent this request sends another one on the same connection."""
        return "close" not in self.headers.get("connection", "").lower() and self.first_line[-1].strip() != "HTTP/1.0"


def read_request(stream: BufferedIOBase, client: socket.socket) -> Message | None:
    """Read the next request, after asking for the body of a client that expects to be asked.

    Args:
        stream: of the client's connection.
        client: the connection, to ask on.

    Returns:
        The request, or None at the end of the connection.
    """
    head = _read_head(stream)
    if head is None:
        return None
    lines, headers = head
    if headers.get("expect", "").lower() == "100-continue":
        client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    framed = "content-length" in headers or "transfer-encoding" in headers
    return Message(lines, headers, _read_body(stream, headers) if framed else b"")


def read_answer(stream: BufferedIOBase, method: str) -> Message:
    """Read the final answer to a request, ready for a client: without headers about the upstream's connection.

    Args:
        stream: of the upstream's connection.
        method: of the request.

    Raises:
        ConnectionError: the upstream closed the connection before the answer was complete.
    """
    status = 100
    while status < 200:
        head = _read_head(stream)
        if head is None:
            raise ConnectionError("the upstream closed the connection without an answer")
        (status_line, *rest), headers = head
        status = int(status_line.split()[1])
    kept = (line for line in rest if not line.lower().startswith(_OF_ONE_CONNECTION))
    lines = (b"HTTP/1.1 " + status_line.partition(b" ")[2], *kept)
    without_body = method == "HEAD" or status in {204, 304}
    if not without_body and "content-length" not in headers and "transfer-encoding" not in headers:
        # The body ends with the connection. The client is told its length, so that its own connection can stay open.
        body = stream.read()
        return Message((*lines, b"Content-Length: %d\r\n" % len(body)), headers, body)
    return Message(lines, headers, b"" if without_body else _read_body(stream, headers))


def bad_gateway(error: Exception) -> bytes:
    """Return the answer for a client whose request could not be passed on.

    Args:
        error: why not.
    """
    text = f"{type(error).__name__}: {error}".encode()
    return b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(text) + text


def _read_head(stream: BufferedIOBase) -> tuple[tuple[bytes, ...], dict[str, str]] | None:
    lines: list[bytes] = []
    while (line := stream.readline()) not in {b"\r\n", b"\n"}:
        if not line.endswith(b"\n"):
            return None
        lines.append(line)
    if not lines:
        return None
    pairs = (line.decode("latin-1").partition(":") for line in lines[1:])
    return tuple(lines), {name.strip().lower(): value.strip() for name, _, value in pairs}


def _read_body(stream: BufferedIOBase, headers: Mapping[str, str]) -> bytes:
    if "chunked" in headers.get("transfer-encoding", "").lower():
        return b"".join(_read_chunks(stream))
    return _exactly(stream, int(headers["content-length"]))


def _read_chunks(stream: BufferedIOBase) -> list[bytes]:
    parts: list[bytes] = []
    size = 1
    while size:
        parts.append(stream.readline())
        size = int(parts[-1].partition(b";")[0], 16)
        if size:
            parts.append(_exactly(stream, size + len(b"\r\n")))
    # Trailers, up to an empty line.
    while not parts[-1].isspace():
        parts.append(stream.readline())
        if not parts[-1]:
            raise ConnectionError("the connection was closed inside a chunked body")
    return parts


def _exactly(stream: BufferedIOBase, length: int) -> bytes:
    body = stream.read(length)
    if len(body) < length:
        raise ConnectionError(f"the connection was closed after {len(body)} of {length} bytes of a body")
    return body
