"""The exceptions of core. Each says what is wrong, names the thing, and says what to do."""

from __future__ import annotations

from collections.abc import Iterable


class GluewrightError(Exception):
    """The base of every exception that gluewright raises itself."""


class ConcurrentUpdateError(GluewrightError):
    """Another writer changed the same thing first, or is changing it now. Nothing of this writer was applied."""


class PublishTakenOverError(GluewrightError):
    """A publish was decided, then the run that applied it lost its lease: another run finishes the publish."""


class DocumentOverwrittenError(GluewrightError):
    """A state document was written, and another writer has written it again since. The write did happen."""


class InvalidStateError(GluewrightError):
    """A state document cannot be read: not JSON, or written by a newer version of gluewright."""


class StorageError(GluewrightError):
    """A storage operation failed. The subclasses tell why."""


class ObjectNotFoundError(StorageError):
    """No object has that key."""


class StorageDeniedError(StorageError):
    """The storage refused the operation: missing permission or a read-only target."""


class StorageFullError(StorageError):
    """The disk or quota behind the storage is exhausted."""


class OutcomeUnknownError(StorageError):
    """A request was sent and its outcome is not known: it may have been performed, or may be performed later.

    Nothing that the request could need was discarded. Run again: the next run finds out.
    """


class StorageUnreachableError(OutcomeUnknownError):
    """The storage did not answer: wrong endpoint, Region or network."""


class ConditionalWritesIgnoredError(StorageError):
    """The storage performs a conditional write although the condition does not hold, so two writers could both win."""


class LeaseTimeoutError(StorageError):
    """A client may wait longer for one request than a lease allows. Nothing was written."""


class LandingError(GluewrightError):
    """Landed files cannot be read: none are there, or one cannot be read at all; the message names it."""


class TableError(GluewrightError):
    """A table cannot be read or published as asked. The subclasses tell why."""


class RowsOutsidePartitionsError(TableError):
    """Rows belong to partitions that the publish was not asked to replace. Nothing was published."""


class RunRepeatedError(TableError):
    """A run that has published before publishes again, with other rows. Nothing more was published."""


class TableMismatchError(TableError):
    """The rows, the declared table and the table in the catalog do not have the same columns or partitioning."""


class TableChangedError(TableError):
    """The catalog has locations for the table's partitions that no publish explains. Nothing was published."""


class UnsupportedTableError(TableError):
    """The table is of a kind on which the operation would not be safe."""


class InvalidArgumentsError(GluewrightError):
    """The command line does not fit the job's declared arguments. Every wrong argument is named at once."""


class ArgumentsDeclarationError(GluewrightError):
    """A job's arguments class cannot be filled from a command line: not a frozen dataclass, or an unknown type."""


class SecretUnavailableError(GluewrightError):
    """A secret that the job refers to cannot be read: missing, denied, or without the JSON key asked for."""


class CountMismatchError(GluewrightError):
    """A step read more or fewer rows than it wrote, quarantined and ignored together."""


class SchemaError(GluewrightError):
    """Something about a schema is wrong. The subclasses tell what."""


class InvalidContractError(SchemaError):
    """A contract contradicts itself, or its file cannot be read as one; the message names the place.

    Attributes:
        problems: each with its place inside the contract, such as ``("columns", 2, "type")``.
    """

    def __init__(self, message: str, problems: Iterable[tuple[tuple[str | int, ...], str]] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)


class InvalidSourceError(SchemaError):
    """A catalog table, template, Avro schema or statement cannot be read as a contract; the message names the place.

    Attributes:
        place: inside what was read, such as ``("StorageDescriptor", "Columns", 2, "Type")``; empty for the whole.
    """

    def __init__(self, message: str, place: tuple[str | int, ...] = ()) -> None:
        super().__init__(message)
        self.place = place


class UnsupportedSourceError(SchemaError):
    """A contract cannot be written in a form that has no way to say it; the message names the column and what to do."""
