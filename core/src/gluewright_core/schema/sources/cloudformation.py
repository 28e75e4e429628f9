"""CloudFormation templates: every ``AWS::Glue::Table`` in them, YAML or JSON.

Intrinsic functions are tolerated: a reference to a parameter reads as its default, and what is known only when the stack is
made stands as ``${Name}``. Where a column's type is such a thing, the template cannot be read as a contract. From the AWS
CloudFormation Template Reference, "AWS::Glue::Table" and "Intrinsic functions".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from gluewright_core.errors import ContractInvalid, SourceInvalid
from gluewright_core.schema.contract import Contract
from gluewright_core.schema.files import Form, LineOf, json_document, yaml_document, yaml_module
from gluewright_core.schema.losses import Converted
from gluewright_core.schema.sources.glue import from_glue, to_glue

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
        SourceInvalid: the template has no table, or one that is none; the message names file, line (YAML) and resource.
    """
    try:
        template, line_of = yaml_document(text, where, _loader()) if form == "yaml" else json_document(text, where)
    except ContractInvalid as error:
        raise SourceInvalid(str(error)) from error
    resources = template.get("Resources") if isinstance(template, Mapping) else None
    tables = {
        name: resource
        for name, resource in (resources.items() if isinstance(resources, Mapping) else ())
        if isinstance(resource, Mapping) and resource.get("Type") == _TABLE
    }
    if not tables:
        raise SourceInvalid(f"{where}: it has no resource of the type {_TABLE}; give the template that defines the table")
    defaults = _defaults(template)
    return {name: _table(name, resource, defaults, where, line_of) for name, resource in tables.items()}


def to_cloudformation(contract: Contract, *, location: str) -> Converted[dict[str, Any]]:
    """Write a contract as a template with one table.

    Args:
        contract: named ``database.table``.
        location: the table's folder, such as ``s3://lake/orders``.

    Returns:
        The template, to be dumped as JSON or YAML, and what is lost: the same as in the Glue Data Catalog.

    Raises:
        SourceUnsupported: a name or type cannot stand in the catalog.
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
    properties = _resolved(resource.get("Properties") or {}, defaults)
    table = properties.get("TableInput") if isinstance(properties, Mapping) else None
    at = ("Resources", name, "Properties", "TableInput")
    if not isinstance(table, Mapping):
        raise SourceInvalid(f"{_placed(where, line_of(at[:2]))} Resources.{name}: it has no TableInput; define it")
    try:
        return from_glue({**table, "DatabaseName": properties.get("DatabaseName")})
    except SourceInvalid as error:
        place = (*at, *error.place)
        raise SourceInvalid(f"{_placed(where, line_of(place))} Resources.{name}: {error}", place) from error


def _placed(where: str, line: int | None) -> str:
    return f"{where}:{line}" if line else where


def _defaults(template: Mapping[str, Any]) -> dict[str, str]:
    parameters = template.get("Parameters") or {}
    return {
        name: str(declared["Default"])
        for name, declared in parameters.items()
        if isinstance(declared, Mapping) and "Default" in declared
    }


def _resolved(value: Any, defaults: Mapping[str, str]) -> Any:
    """Replace intrinsic functions by texts."""
    if isinstance(value, list):
        return [_resolved(item, defaults) for item in value]
    if not isinstance(value, Mapping):
        return value
    (name, given), *others = value.items() or [("", None)]
    if not others and (name == "Ref" or str(name).startswith("Fn::")):
        return _text_of(str(name), given, defaults)
    return {key: _resolved(item, defaults) for key, item in value.items()}


def _text_of(name: str, given: Any, defaults: Mapping[str, str]) -> str | None:
    """Give the text that an intrinsic function stands for, as far as it is known."""
    if name == "Ref":
        return None if given == "AWS::NoValue" else defaults.get(str(given), f"${{{given}}}")
    if name == "Fn::Sub":
        return _substituted(given, defaults)
    if name == "Fn::Join" and isinstance(given, list) and len(given) == 2 and isinstance(given[1], list):
        return str(given[0]).join(str(_resolved(item, defaults)) for item in given[1])
    if name == "Fn::GetAtt":
        return f"${{{given if isinstance(given, str) else '.'.join(map(str, given))}}}"
    return f"${{{name}}}"


def _substituted(given: Any, defaults: Mapping[str, str]) -> str:
    text, own = (given, {}) if isinstance(given, str) else (str(given[0]), _resolved(given[1], defaults))
    known = {**defaults, **own}
    return re.sub(r"\$\{([^}!]+)\}", lambda found: str(known.get(found.group(1), found.group())), text)


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
