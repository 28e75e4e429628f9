"""Contracts in files: YAML for people, JSON without any extra.

A file of a contract reads so:

```yaml
name: shop.orders
comment: One row per order.
key: [order_id]
partition_by: [day]
values: discard_row
new_columns: discard_value
columns:
- {name: order_id, type: bigint, nullable: false}
- {name: email, type: string, tags: [pii]}
- name: items
  type: array
  items:
    type: struct
    fields:
    - {name: sku, type: string, nullable: false}
    - {name: price, type: 'decimal(10,2)', comment: with tax}
- {name: day, type: date, format: dd.MM.yyyy}
```
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from gluewright_core.errors import InvalidContractError, SchemaError
from gluewright_core.schema.contract import Contract, Place
from gluewright_core.schema.document import from_document, place_text, to_document
from gluewright_core.storage import open_storage
from gluewright_core.storage.opening import parent_uri

Form = Literal["yaml", "json"]
LineOf = Callable[[Place], int | None]


def load_contract(path: str | os.PathLike[str]) -> Contract:
    """Read a contract's file.

    Args:
        path: of a ``.yaml``, ``.yml`` or ``.json`` file; a path or an S3 URI.

    Raises:
        InvalidContractError: the file is not a contract; the message names file, line (YAML) and path of everything wrong.
        ObjectNotFoundError: there is no such file.
    """
    form = form_of(path)
    return contract_from_text(read_text(path), form, where=os.fspath(path))


def save_contract(contract: Contract, path: str | os.PathLike[str]) -> None:
    """Write a contract's file; its ending says in which form."""
    parent, name = _parent_and_name(path)
    open_storage(parent).write(name, contract_to_text(contract, form_of(path)).encode())


def contract_from_text(text: str, form: Form, *, where: str = "contract") -> Contract:
    """Read a contract out of the text of its file.

    Args:
        text: what the file holds.
        form: ``yaml`` or ``json``.
        where: the file's name, for messages.

    Raises:
        InvalidContractError: the text is not a contract.
    """
    document, line_of = (yaml_document if form == "yaml" else json_document)(text, where)
    try:
        return from_document(document)
    except InvalidContractError as error:
        said = [f"{_placed(where, place, line_of)}: {reason}" for place, reason in error.problems]
        raise InvalidContractError("\n".join(said), error.problems) from error


def contract_to_text(contract: Contract, form: Form) -> str:
    """Write the text of a contract's file."""
    document = to_document(contract)
    if form == "json":
        return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    text: str = yaml_module().safe_dump(document, sort_keys=False, allow_unicode=True, width=120)
    return text


def form_of(path: str | os.PathLike[str]) -> Form:
    """Tell a file's form by its ending.

    Raises:
        InvalidContractError: it has another one.
    """
    ending = os.fspath(path).rpartition(".")[2].lower()
    if ending in {"yaml", "yml"}:
        return "yaml"
    if ending == "json":
        return "json"
    name = os.fspath(path)
    other = {"avsc": "avro", "sql": "ddl", "ddl": "ddl", "parquet": "parquet", "template": "cfn"}.get(ending)
    hint = f"write {other}:{name} if it is one of those" if other else "rename it, or say what it is, as in avro:x.avsc"
    raise InvalidContractError(f"{name}: a contract's file ends in .yaml, .yml or .json; {hint}")


def read_text(path: str | os.PathLike[str]) -> str:
    """Read a file as UTF-8, from a path or an S3 URI.

    Raises:
        ObjectNotFoundError: there is none.
        SchemaError: it is not UTF-8.
    """
    parent, name = _parent_and_name(path)
    raw, _ = open_storage(parent).read(name)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SchemaError(f"{os.fspath(path)} is not UTF-8 ({error}); save it as UTF-8") from error


def yaml_module() -> Any:
    """Import PyYAML.

    Raises:
        SchemaError: it is not installed.
    """
    try:
        import yaml  # type: ignore[import-untyped]  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise SchemaError(
            "YAML needs PyYAML: install gluewright-core[yaml] (on Glue: --additional-python-modules pyyaml), or use JSON"
        ) from error
    return yaml


def yaml_document(text: str, where: str, loader: Any = None) -> tuple[Any, LineOf]:
    """Read YAML; an entry that stands twice is refused.

    Args:
        text: what the file holds.
        where: the file's name, for messages.
        loader: a subclass of PyYAML's SafeLoader; by default that.

    Returns:
        The document, and a function from a place in it to its line.

    Raises:
        InvalidContractError: it is not YAML.
    """
    yaml = yaml_module()
    reader = None
    try:
        reader = (loader or yaml.SafeLoader)(text)
        root = reader.get_single_node()
        _refuse_twice(yaml, root, where)
        document = reader.construct_document(root) if root else None
    except RecursionError as error:
        raise InvalidContractError(f"{where}: it is nested too deeply, or contains itself") from error
    # PyYAML raises the others for values that do not fit a tag such as !!int.
    except (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        reason = getattr(error, "problem", None) or error
        hint = f"; if it is a CloudFormation template, write cfn:{where}" if "for the tag '!" in str(reason) else ""
        raise InvalidContractError(f"{where}{line}: not YAML: {reason}{hint}") from error
    finally:
        if reader:
            reader.dispose()
    return document, lambda place: _line(root, place)


def json_document(text: str, where: str) -> tuple[Any, LineOf]:
    """Read JSON; an entry that stands twice is refused. The lines of its places are not known.

    Raises:
        InvalidContractError: it is not JSON.
    """

    def distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise InvalidContractError(f"{where}: {twice[0]!r} stands twice in one object; remove one")
        return dict(pairs)

    try:
        return json.loads(text, object_pairs_hook=distinct), lambda _: None
    except RecursionError as error:
        raise InvalidContractError(f"{where}: it is nested too deeply") from error
    except ValueError as error:
        raise InvalidContractError(f"{where}: not JSON: {error}") from error


def _refuse_twice(yaml: Any, node: Any, where: str) -> None:
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            if isinstance(key.value, str) and key.value in seen:
                line = key.start_mark.line + 1
                raise InvalidContractError(f"{where}:{line}: {key.value!r} stands twice in one mapping; remove one")
            seen.add(key.value if isinstance(key.value, str) else None)
            _refuse_twice(yaml, value, where)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_twice(yaml, item, where)


def _line(node: Any, place: Place) -> int | None:
    """Find the line of a place, or of what is nearest above it."""
    line = node.start_mark.line + 1 if node else None
    for step in place:
        if isinstance(step, int) and isinstance(node.value, list) and step < len(node.value):
            node = node.value[step]
            line = node.start_mark.line + 1
        elif isinstance(node.value, list) and all(isinstance(item, tuple) for item in node.value):
            found = [(key, value) for key, value in node.value if key.value == step]
            if not found:
                break
            line, node = found[0][0].start_mark.line + 1, found[0][1]
    return line


def _placed(where: str, place: Place, line_of: LineOf) -> str:
    line = line_of(place)
    path = place_text(place)
    return f"{where}{f':{line}' if line else ''}{f' {path}' if path else ''}"


def _parent_and_name(path: str | os.PathLike[str]) -> tuple[str, str]:
    text = os.fspath(path)
    return parent_uri(text) if "://" in text else (str(Path(text).absolute().parent), Path(text).name)
