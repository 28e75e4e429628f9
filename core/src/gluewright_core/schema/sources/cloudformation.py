"""CloudFormation templates: every ``AWS::Glue::Table`` in them, YAML or JSON.

Intrinsic functions are tolerated in texts: a reference to a parameter reads as its default, and what is known only when
the stack is deployed stands as ``${Name}``. Where one of them stands for a column, its name or its type, for a list of
columns or for another part of the table's structure, the template is refused, with the place and what to do. What
``Fn::ForEach`` makes is not seen, which is a named loss. From the AWS CloudFormation Template Reference, "AWS::Glue::Table",
"Intrinsic functions" and "Fn::ForEach".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from gluewright_core.errors import InvalidContractError, InvalidSourceError
from gluewright_core.schema.contract import Contract
from gluewright_core.schema.document import place_text
from gluewright_core.schema.files import Form, LineOf, json_document, yaml_document, yaml_module
from gluewright_core.schema.losses import Converted, Loss
from gluewright_core.schema.sources.glue import from_glue, to_glue
from gluewright_core.schema.sources.intrinsic import FOR_EACH, defaults_of, intrinsic_places, loops, resolved

_TABLE = "AWS::Glue::Table"


def from_cloudformation(text: str, *, form: Form = "yaml", where: str = "template") -> dict[str, Converted[Contract]]:
    """Read the tables of a template.

    Args:
        text: the template.
        form: ``yaml`` or ``json``.
        where: the file's name, for messages.

    Returns:
        The contracts by logical id.

    Raises:
        InvalidSourceError: the template has no table, or one that is none or is known only when the stack is deployed; the
            message names file, line (YAML) and resource.
    """
    try:
        template, line_of = yaml_document(text, where, _loader()) if form == "yaml" else json_document(text, where)
    except InvalidContractError as error:
        raise InvalidSourceError(str(error)) from error
    resources = template.get("Resources") if isinstance(template, Mapping) else None
    resources = resources if isinstance(resources, Mapping) else {}
    tables = {
        str(name): resource
        for name, resource in resources.items()
        if isinstance(resource, Mapping) and resource.get("Type") == _TABLE
    }
    unseen = tuple(_unseen(f"Resources.{name}") for name in resources if str(name).startswith(FOR_EACH))
    if not tables:
        made = f"; what {unseen[0].path} makes is not seen" if unseen else ""
        todo = "give the template that defines the table, or read the deployed one with glue:database.table"
        raise InvalidSourceError(f"{where}: it has no resource of the type {_TABLE}{made}; {todo}")
    defaults = defaults_of(template)
    read = {name: _table(name, resource, defaults, where, line_of) for name, resource in tables.items()}
    return {name: Converted(found.result, (*unseen, *found.losses)) for name, found in read.items()}


def to_cloudformation(contract: Contract, *, location: str) -> Converted[dict[str, Any]]:
    """Write a contract as a template with one table.

    Args:
        contract: named ``database.table``.
        location: the table's folder, such as ``s3://lake/orders``.

    Returns:
        The template, to be dumped as JSON or YAML, and what is lost: the same as in the Glue Data Catalog.

    Raises:
        UnsupportedSourceError: a name or type cannot stand in the catalog.
    """
    database, _, table = contract.name.rpartition(".")
    definition, losses = to_glue(contract, location=location)
    properties = {
        "CatalogId": {"Ref": "AWS::AccountId"},
        "DatabaseName": (database or "default").lower(),
        "TableInput": definition,
    }
    logical_id = "".join(part.capitalize() for part in re.split(r"[^A-Za-z0-9]+", table)) or "Table"
    return Converted({"Resources": {logical_id: {"Type": _TABLE, "Properties": properties}}}, losses)


def _table(
    name: str, resource: Mapping[str, Any], defaults: Mapping[str, str], where: str, line_of: LineOf
) -> Converted[Contract]:
    given = resource.get("Properties") or {}
    at = ("Resources", name, "Properties")
    for place in intrinsic_places(given, defaults):
        line = _placed(where, line_of((*at, *place[:-1])))
        todo = "write out what it stands for, or read the deployed table with glue:database.table"
        reason = f"{place_text(place[:-1]) or 'Properties'} is {place[-1]}, known only when the stack is deployed; {todo}"
        raise InvalidSourceError(f"{line} Resources.{name}: {reason}", (*at, *place[:-1]))
    unseen = tuple(_unseen(f"Resources.{name}.{place_text(('Properties', *place))}") for place in loops(given))
    properties = resolved(given, defaults)
    table = properties.get("TableInput") if isinstance(properties, Mapping) else None
    if not isinstance(table, Mapping):
        raise InvalidSourceError(f"{_placed(where, line_of(at[:2]))} Resources.{name}: it has no TableInput; define it")
    try:
        read = from_glue({**table, "DatabaseName": properties.get("DatabaseName")})
    except InvalidSourceError as error:
        place = (*at, "TableInput", *error.place)
        raise InvalidSourceError(f"{_placed(where, line_of(place))} Resources.{name}: {error}", place) from error
    return Converted(read.result, (*unseen, *read.losses))


def _unseen(place: str) -> Loss:
    return Loss(place, "Fn::ForEach", "what it makes is known only when the stack is deployed, so it is left out")


def _placed(where: str, line: int | None) -> str:
    return f"{where}:{line}" if line else where


def _loader() -> Any:
    """Make PyYAML read the short forms, such as ``!Ref Name``, as the long ones."""
    yaml = yaml_module()

    class Loader(yaml.SafeLoader):  # type: ignore[misc,name-defined]
        """Reads CloudFormation's YAML."""

    def intrinsic(loader: Any, suffix: str, node: Any) -> dict[str, Any]:
        if isinstance(node, yaml.ScalarNode):
            given = loader.construct_scalar(node)
        elif isinstance(node, yaml.SequenceNode):
            given = loader.construct_sequence(node, deep=True)
        else:
            given = loader.construct_mapping(node, deep=True)
        return {suffix if suffix in {"Ref", "Condition"} else f"Fn::{suffix}": given}

    Loader.add_multi_constructor("!", intrinsic)
    return Loader
