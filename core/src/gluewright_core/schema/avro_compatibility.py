"""Whether versions of an Avro schema can be read by each other's readers, by Avro's own rules.

From the Apache Avro Specification 1.12, "Schema Resolution", "Aliases" and "Logical Types". Unlike
:mod:`gluewright_core.schema.compatibility`, nothing is converted: defaults, symbols, names, aliases, sizes and unions count.

- A field that the writer does not have needs a default. An enum needs a default when the writer has symbols that it lacks.
- Records, enums and fixed types match by their names without namespace, or by an alias of the reader. An alias renames what
  was written, as the specification says: a field that is read under another name is no longer there under its own.
- ``int`` is read as ``long``, ``float`` and ``double``; ``long`` as ``float`` and ``double``; ``float`` as ``double``;
  ``string`` and ``bytes`` as each other.
- Every branch of the writer's union needs a type of the reader that reads it. Of the reader's union, any branch may.
- Decimals match with the same precision and scale only. Other logical types do not count: where they differ, the values are
  read, but with another meaning, which :func:`check_avro_versions` reports as a note.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gluewright_core.schema.compatibility import Compatibility, Incompatibility, Unreadable, version_pairs
from gluewright_core.schema.sources.avro_schema import AvroField, AvroType, fits

_PROMOTED = {
    "int": ("long", "float", "double"),
    "long": ("float", "double"),
    "float": ("double",),
    "string": ("bytes",),
    "bytes": ("string",),
}
_NAMED = ("record", "enum", "fixed")
_Pair = tuple[AvroType, AvroType]


@dataclass(frozen=True)
class AvroResolution:
    """How a reader's schema resolves against a writer's.

    Attributes:
        unreadable: what the reader cannot read; empty when it reads everything.
        notes: what it reads with another meaning, and defaults that only newer versions of Avro accept.
    """

    unreadable: tuple[Unreadable, ...]
    notes: tuple[Unreadable, ...] = ()


def check_avro_versions(
    versions: Sequence[AvroType], mode: Compatibility | str
) -> tuple[tuple[Incompatibility, ...], tuple[Incompatibility, ...]]:
    """Check the newest version of an Avro schema against the earlier ones.

    Args:
        versions: oldest first, as :func:`~gluewright_core.schema.sources.avro_parsing.parse_avro` returns them.
        mode: which of them have to read which.

    Returns:
        What is not compatible, empty when all is well; and notes on what is read, but with another meaning.

    Example:
        >>> from gluewright_core.schema.sources.avro_parsing import parse_avro
        >>> old = parse_avro({"type": "enum", "name": "Colour", "symbols": ["RED", "BLUE"]})
        >>> new = parse_avro({"type": "enum", "name": "Colour", "symbols": ["RED"]})
        >>> (found,), notes = check_avro_versions([old, new], "BACKWARD")
        >>> print(found.problem)
        (schema): the enum Colour lacks the symbol BLUE; keep it, or give the reader's enum a default
    """
    problems: list[Incompatibility] = []
    notes: list[Incompatibility] = []
    for reader, writer in version_pairs(len(versions), mode):
        resolution = resolve(versions[reader - 1], versions[writer - 1])
        problems += (Incompatibility(reader, writer, found) for found in resolution.unreadable)
        notes += (Incompatibility(reader, writer, found) for found in resolution.notes)
    return tuple(problems), tuple(notes)


def resolve(reader: AvroType, writer: AvroType) -> AvroResolution:
    """Resolve a reader's schema against a writer's.

    Args:
        reader: the schema that is expected.
        writer: the schema that the values were written with.
    """
    unreadable: set[_Pair] = set()
    while True:
        # Types that contain themselves count as readable until the opposite is found; then everything is looked at again.
        before = len(unreadable)
        resolver = _Resolver(unreadable)
        found = resolver.values(reader, writer, "")
        if len(unreadable) == before:
            return AvroResolution(tuple(dict.fromkeys(found)), tuple(dict.fromkeys(resolver.notes)))


class _Resolver:
    """Resolves types from the outside in.

    Args:
        unreadable: pairs of named types known to be unreadable; what is found is added.
    """

    def __init__(self, unreadable: set[_Pair]) -> None:
        self.notes: list[Unreadable] = []
        self._unreadable = unreadable
        self._readable: set[_Pair] = set()
        self._open: dict[_Pair, list[Unreadable]] = {}

    def values(self, reader: AvroType, writer: AvroType, path: str) -> list[Unreadable]:
        """Return what a reader's type cannot read of the values of a writer's."""
        if writer.kind == "union":
            return [found for branch in writer.inner for found in self._branch(reader, branch, path)]
        if reader.kind == "union":
            return self._of_union(reader, writer, path)
        if reader.kind != writer.kind or reader.decimal != writer.decimal:
            return self._promoted(reader, writer, path)
        self._note_logical(reader, writer, path)
        if reader.kind in _NAMED:
            return self._named(reader, writer, path)
        if reader.inner:
            inside = f"{path}[]" if reader.kind == "array" else f"{path}{{}}.value"
            return self.values(reader.inner[0], writer.inner[0], inside)
        return []

    def _branch(self, reader: AvroType, branch: AvroType, path: str) -> list[Unreadable]:
        if branch.kind == "null" and reader.kind not in {"null", "union"}:
            return [_at(path, f'null was written and {reader} does not read it; keep ["null", …]')]
        return self.values(reader, branch, path)

    def _of_union(self, reader: AvroType, writer: AvroType, path: str) -> list[Unreadable]:
        nearest: list[Unreadable] = []
        for branch in reader.inner:
            noted = len(self.notes)
            found = self.values(branch, writer, path)
            if not found:
                return []
            del self.notes[noted:]
            if branch.kind == writer.kind and (branch.kind not in _NAMED or _same_name(branch, writer)):
                nearest = nearest or found
        return nearest or [_at(path, f"the {reader} has no branch that reads {writer}; keep or add {writer}")]

    def _promoted(self, reader: AvroType, writer: AvroType, path: str) -> list[Unreadable]:
        if reader.decimal and writer.decimal:
            why = "decimals match with the same type, precision and scale only; add a field beside it"
            return [_at(path, f"{writer} is not read as {reader}: {why}")]
        if reader.kind == writer.kind or reader.kind in _PROMOTED.get(writer.kind, ()):
            self._note_logical(reader, writer, path)
            return self._named(reader, writer, path) if reader.kind in _NAMED else []
        hint = f"keep {writer}, or add" if writer.kind in _PROMOTED.get(reader.kind, ()) else "add"
        return [_at(path, f"{writer} is not read as {reader}; {hint} a field beside it")]

    def _named(self, reader: AvroType, writer: AvroType, path: str) -> list[Unreadable]:
        pair = (reader, writer)
        if pair in self._open and pair in self._unreadable:
            again = _at(path, f"{writer} is not read as {reader}, which contains it")
            self._open[pair].append(again)
            return [again]
        if pair in self._open or pair in self._readable:
            return []
        self._open[pair] = []
        found = self._of_named(reader, writer, path)
        within = self._open.pop(pair)
        (self._unreadable if found else self._readable).add(pair)
        return [problem for problem in found if problem not in within] or found

    def _of_named(self, reader: AvroType, writer: AvroType, path: str) -> list[Unreadable]:
        if not _same_name(reader, writer):
            alias = "." in writer.name or "." not in reader.name
            todo = f"give the reader's {reader.kind} the alias {writer.name}, or keep" if alias else "keep"
            return [_at(path, f"{writer} is not read as {reader}; {todo} the name")]
        if reader.kind == "record":
            return list(self._fields(reader, writer, path))
        if reader.kind == "fixed" and reader.size != writer.size:
            return [_at(path, f"{writer} is not read as {reader}; keep the size, or add a field beside it")]
        lacking = [symbol for symbol in writer.symbols if symbol not in reader.symbols]
        if lacking and reader.default is None:
            words, it = ("symbol", "it") if len(lacking) == 1 else ("symbols", "them")
            todo = f"keep {it}, or give the reader's enum a default"
            return [_at(path, f"the {reader} lacks the {words} {', '.join(lacking)}; {todo}")]
        return []

    def _fields(self, reader: AvroType, writer: AvroType, path: str) -> Iterator[Unreadable]:
        renamed = {alias: member.name for member in reader.fields for alias in member.aliases}
        written: dict[str, AvroField] = {}
        for member in writer.fields:
            name = renamed.get(member.name, member.name)
            if name in written:
                both = f"{written[name].name} and {member.name}"
                why = f"the writer has both {both}, and an alias makes them one; remove the alias"
                yield _at(_inside(path, name), why)
            written.setdefault(name, member)
        for member in reader.fields:
            at = _inside(path, member.column)
            if member.name in written:
                yield from self.values(member.type, written[member.name].type, at)
            elif "default" not in member.attributes:
                todo = _todo(member, reader, written)
                yield _at(at, f"{member.type} is not in the writer's schema and has no default; {todo}")
            else:
                yield from self._default(member, at)

    def _default(self, member: AvroField, path: str) -> Iterator[Unreadable]:
        value = member.attributes["default"]
        text = json.dumps(value, ensure_ascii=False)
        if not fits(member.type, value):
            yield _at(path, f"its default {text} is no value of {member.type}; correct it")
        elif member.type.kind == "union" and not fits(member.type.inner[0], value):
            why = "before Avro 1.12 a default belongs to the first type of its union"
            self.notes.append(_at(path, f"its default {text} is none of {member.type.inner[0]}: {why}; put its type first"))

    def _note_logical(self, reader: AvroType, writer: AvroType, path: str) -> None:
        if reader.logical != writer.logical:
            plain = f"Avro reads the {writer.kind} as it is, whatever it means"
            self.notes.append(_at(path, f"{writer} is read as {reader}: {plain}; keep the logical type"))


def _same_name(reader: AvroType, writer: AvroType) -> bool:
    return reader.name.rpartition(".")[2] == writer.name.rpartition(".")[2] or writer.name in reader.aliases


def _todo(member: AvroField, reader: AvroType, written: dict[str, AvroField]) -> str:
    unread = [name for name in written if name not in (other.name for other in reader.fields)]
    alike = [name for name in unread if str(written[name].type) == str(member.type)]
    return "give it a default" + (f", or the alias {alike[0]} if that was its name" if alike else "")


def _inside(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _at(path: str, why: str) -> Unreadable:
    return Unreadable(path or "(schema)", why)
