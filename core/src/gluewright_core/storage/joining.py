"""How to join objects on S3 by multipart copy: the arithmetic, without S3.

Rules of S3 (Amazon S3 User Guide, "Amazon S3 multipart upload limits"): a part has 5 MiB to 5 GiB, only the last may be
smaller; an upload has at most 10,000 parts. An object's bytes can be copied into a part on the server (UploadPartCopy), so
only what is too small to be a part of its own travels through the process.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gluewright_core.errors import StorageError

MIB = 1 << 20
SMALLEST_PART = 5 * MIB
LARGEST_PART = 5 * 1024 * MIB
MOST_PARTS = 10_000


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes ``start`` (included) to ``end`` (excluded) of source number ``source``."""

    source: int
    start: int
    end: int

    @property
    def size(self) -> int:
        """In bytes."""
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the upload. A single piece is copied on the server; several are read and uploaded together."""

    pieces: tuple[Piece, ...]

    @property
    def size(self) -> int:
        """In bytes."""
        return sum(piece.size for piece in self.pieces)


def plan_join(sizes: Sequence[int], *, largest: int = LARGEST_PART) -> list[Part]:
    """Cut the concatenation of objects into parts that S3 takes.

    Small objects are gathered until they make a part; when a large one follows, it gives up its first bytes to fill the
    part, and the rest of it is copied on the server.

    Args:
        sizes: of the sources in order, in bytes.
        largest: the largest part allowed, in bytes.

    Returns:
        The parts in order; together they are all the bytes, each once. Empty when there are no bytes.

    Raises:
        StorageError: more than 10,000 parts would be needed.

    Example:
        >>> [part.size // MIB for part in plan_join([1 * MIB, 2 * MIB, 10 * MIB])]
        [5, 8]
    """
    parts: list[Part] = []
    gathered: list[Piece] = []
    room = SMALLEST_PART
    for source, size in enumerate(sizes):
        start = 0
        while start < size:
            if gathered or size - start < SMALLEST_PART:
                end = min(size, start + room)
                gathered.append(Piece(source, start, end))
                room -= end - start
                if room == 0:
                    parts.append(Part(tuple(gathered)))
                    gathered, room = [], SMALLEST_PART
            else:
                end = _end_of_copy(start, size, largest)
                parts.append(Part((Piece(source, start, end),)))
            start = end
    if gathered:
        parts.append(Part(tuple(gathered)))
    if len(parts) > MOST_PARTS:
        raise StorageError(
            f"joining {len(sizes)} objects needs {len(parts)} parts, S3 takes {MOST_PARTS}; write fewer, larger files"
        )
    return parts


def _end_of_copy(start: int, size: int, largest: int) -> int:
    """Take as much as a part may hold, but leave no rest that is too small to be a part of its own."""
    end = min(size, start + largest)
    return end - SMALLEST_PART if 0 < size - end < SMALLEST_PART else end
