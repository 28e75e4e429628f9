# gluewright-pii-masking 0.1.0 policy.py
# SPDX-License-Identifier: Apache-2.0
"""The policy: what becomes of each column, by path or tag."""

from __future__ import annotations

import dataclasses
import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .actions.base import Action, Drop, Keep
from .actions.encryption import Encrypt, EncryptDigits
from .actions.numbers import Band, Grid, ShiftDate, TruncateDate
from .actions.texts import IpPrefix, Partial, Redact
from .actions.tokens import Token, VaultToken
from .errors import InvalidPolicyError

_ACTIONS: dict[str, type[Action]] = {
    "keep": Keep,
    "drop": Drop,
    "redact": Redact,
    "partial": Partial,
    "truncate_date": TruncateDate,
    "shift_date": ShiftDate,
    "band": Band,
    "grid": Grid,
    "ip_prefix": IpPrefix,
    "token": Token,
    "encrypt": Encrypt,
    "encrypt_digits": EncryptDigits,
    "vault_token": VaultToken,
}


_UNKEYED = ("hash", "md5", "sha1", "sha2", "sha256", "sha512", "crc32", "xxhash64")


HASH_REFUSED = (
    "an unkeyed hash protects nothing: whoever can list the possible values (all telephone numbers, all IPv4 addresses) "
    "hashes them all and looks the value up; use token, which needs a key"
)


@dataclass(frozen=True)
class Policy:
    """What becomes of every column of a dataset.

    Attributes:
        columns: an action by path; see the module for paths.
        tags: an action by tag, for columns and fields that have it among their metadata's ``tags``, in any case, and are not
            named by path. What a column is tagged as, its parts are too, unless they have an entry of their own.
        unlisted: what happens to a column that neither names: ``stop`` or ``drop``.
        name: of the dataset, for messages.
        leak_check: how much of the masked rows the job has to search for plain values, whatever its arguments:
            ``none``, ``sampled`` or ``full``.

    Raises:
        InvalidPolicyError: an entry is no action.

    Example:
        >>> Policy({"id": Keep()}, tags={"pii": Redact()}).tags
        {'pii': Redact(text=None)}
    """

    columns: Mapping[str, Action] = field(default_factory=dict)
    tags: Mapping[str, Action] = field(default_factory=dict)
    unlisted: str = "stop"
    name: str = "rows"
    leak_check: str = "none"

    def __post_init__(self) -> None:
        if self.unlisted not in {"stop", "drop"}:
            raise InvalidPolicyError(f"{self.name}: unlisted is {self.unlisted!r}; it is stop or drop")
        if self.leak_check not in {"none", "sampled", "full"}:
            raise InvalidPolicyError(f"{self.name}: leak_check is {self.leak_check!r}; it is none, sampled or full")
        names = [tag.lower() for tag in self.tags]
        if twice := [tag for tag in names if names.count(tag) > 1]:
            raise InvalidPolicyError(
                f"{self.name}: the tag {twice[0]} is there twice; upper and lower case are the same tag"
            )
        for where, action in [*self.columns.items(), *self.tags.items()]:
            if not isinstance(action, Action):
                raise InvalidPolicyError(
                    f"{self.name}: {where}: {type(action).__name__} is no action; use Keep(), Token() or another"
                )

    @classmethod
    def from_document(cls, document: Mapping[str, Any], more: Mapping[str, Callable[..., Action]] | None = None) -> Policy:
        """Read a policy as a file has it.

        Args:
            document: a mapping with the attributes of this class, all optional. An action is its name, ``keep``, or a
                mapping with ``action`` and its attributes, ``{action: partial, last: 4}``.
            more: actions of your own by name, as functions of their attributes.

        Raises:
            InvalidPolicyError: names the entry and what it may be.

        Example:
            >>> Policy.from_document({"columns": {"id": "keep", "card": {"action": "partial", "last": 4}}}).columns["card"]
            Partial(first=0, last=4, by_class=False)
        """
        known = [each.name for each in dataclasses.fields(cls)]
        if not isinstance(document, Mapping):
            raise InvalidPolicyError(f"a policy is a mapping with {', '.join(known)}")
        if wrong := [str(entry) for entry in document if entry not in known]:
            raise InvalidPolicyError(f"a policy has no {wrong[0]!r}; it has {', '.join(known)}")
        given = dict(document)
        actions: dict[str, Callable[..., Action]] = {**_ACTIONS, **(more or {})}
        for part in ("columns", "tags"):
            entries = given.get(part) or {}
            if not isinstance(entries, Mapping):
                raise InvalidPolicyError(f"{part}: a mapping of names to actions was expected")
            given[part] = {str(name): _action(f"{part}.{name}", entry, actions) for name, entry in entries.items()}
        return cls(**given)

    @property
    def keyed(self) -> bool:
        """Whether a key is needed."""
        return any(action.keyed for action in [*self.columns.values(), *self.tags.values()])


def _action(where: str, entry: Any, actions: Mapping[str, Callable[..., Action]]) -> Action:
    options = {"action": entry} if isinstance(entry, str) else entry
    if not isinstance(options, Mapping) or "action" not in options:
        raise InvalidPolicyError(f"{where}: an action is its name, or a mapping with action and its attributes")
    called = str(options["action"])
    if called.lower().replace("-", "").replace("_", "") in _UNKEYED:
        raise InvalidPolicyError(f"{where}: {HASH_REFUSED}")
    if called not in actions:
        raise InvalidPolicyError(f"{where}: there is no action {called!r}; {nearest_names(called, actions)}")
    make = actions[called]
    attributes = {str(name): value for name, value in options.items() if name != "action"}
    declared = list(inspect.signature(make).parameters)
    if unknown := [name for name in attributes if name not in declared]:
        raise InvalidPolicyError(f"{where}: {called} has no {unknown[0]!r}; it has {', '.join(declared) or 'no attributes'}")
    try:
        return make(**attributes)
    except InvalidPolicyError as error:
        raise InvalidPolicyError(f"{where}: {error}") from error
    except TypeError as error:
        raise InvalidPolicyError(
            f"{where}: {called}: an attribute is missing or of another type ({', '.join(declared)})"
        ) from error


def nearest_names(name: str, names: Iterable[str]) -> str:
    """Return a hint with the name that comes nearest to a wrong one."""
    known = list(names)
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}"
