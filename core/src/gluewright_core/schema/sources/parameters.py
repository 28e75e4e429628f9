"""What a catalog has no place for, kept in the parameters of its tables: keys, modes, and details of columns."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gluewright_core.errors import InvalidContractError, InvalidSourceError
from gluewright_core.schema.contract import Column, Contract
from gluewright_core.schema.differences import matched

_PREFIX = "gluewright."
_MODES = ("values", "new_columns")
_COLUMNS = f"{_PREFIX}columns"
_KINDS: dict[str, tuple[type, ...]] = {"nullable": (bool,), "tags": (str, list), "on_surprise": (str,), "format": (str,)}


def to_parameters(contract: Contract) -> dict[str, str]:
    """Write a contract's key, modes and details of columns as table parameters; nothing that is the default."""
    plain = Contract("plain", contract.columns)
    said = {"key": json.dumps(list(contract.key), ensure_ascii=False)} if contract.key else {}
    said |= {name: str(getattr(contract, name)) for name in _MODES if getattr(contract, name) != getattr(plain, name)}
    details = {column.name: found for column in contract.columns if (found := _details(column))}
    parameters = {f"{_PREFIX}{name}": text for name, text in said.items()}
    return parameters | ({_COLUMNS: json.dumps(details, ensure_ascii=False)} if details else {})


def with_parameters(contract: Contract, parameters: Mapping[str, Any], where: str) -> Contract:
    """Return the contract with what :func:`to_parameters` wrote; names are found whatever their case.

    Raises:
        InvalidSourceError: a parameter was changed to something else.
    """
    try:
        details = json.loads(parameters.get(_COLUMNS, "{}"))
        names = matched(list(details), contract.names)
        of_column = {names[name]: found for name, found in details.items() if name in names}
        columns = tuple(_with_details(column, of_column.get(column.name, {})) for column in contract.columns)
        key = json.loads(parameters.get(f"{_PREFIX}key", "[]"))
        in_case = matched(key, contract.names)
        modes = {name: parameters[f"{_PREFIX}{name}"] for name in _MODES if f"{_PREFIX}{name}" in parameters}
        if not all(isinstance(name, str) for name in key):
            raise TypeError(f"key is {key}, not a list of names")
        return replace(contract, columns=columns, key=tuple(in_case.get(name, name) for name in key), **modes)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, InvalidContractError) as error:
        raise InvalidSourceError(
            f"{where}: its parameters {_PREFIX}* cannot be read ({error}); write the table anew"
        ) from error


def _details(column: Column) -> dict[str, Any]:
    required = {} if column.nullable else {"nullable": False}
    said = {"tags": list(column.tags), "on_surprise": column.on_surprise, "format": column.format}
    return required | {name: value for name, value in said.items() if value}


def _with_details(column: Column, details: Mapping[str, Any]) -> Column:
    known: dict[str, Any] = {name: details[name] for name in _KINDS if name in details}
    for name, value in known.items():
        texts = value if isinstance(value, list) else []
        if not isinstance(value, _KINDS[name]) or not all(isinstance(text, str) for text in texts):
            raise TypeError(f"{name} of {column.name} is {value!r}")
    return replace(column, **known)
