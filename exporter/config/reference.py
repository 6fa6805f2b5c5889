"""The configuration's reference, for editors and for people, made from the schema."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, TypeAlias, get_args, get_origin

from pydantic.json_schema import GenerateJsonSchema

from exporter.config.schema import (
    ConfigFile,
    IssuerEntry,
    LimitsSection,
    Section,
    Settings,
    TargetGroup,
)
from exporter.config.values import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pydantic.fields import FieldInfo


def json_schema() -> dict[str, Any]:
    """A configuration file as JSON Schema, for editors."""
    schema = ConfigFile.model_json_schema(schema_generator=_WithoutTitles)
    entry = schema["$defs"]["IssuerEntry"]["properties"]
    for field in Settings.model_fields.values():
        # An issuer's default is what `defaults` says, which no schema can know.
        del entry[field.alias]["default"]
    entry["labels"]["additionalProperties"] = False
    return {"$schema": GenerateJsonSchema.schema_dialect, **schema}


#: The tables of a page: a section, and the section whose keys stand in another table.
Tables: TypeAlias = "Mapping[str, tuple[type[Section], type[Section]]]"


def refreshed(text: str, tables: Tables | None = None) -> str:
    """*text* with everything between its `BEGIN` and `END` markers written anew.

    The markers name *tables*, or those of the configuration.

    Raises:
        KeyError: A marker names a table that does not exist.
    """
    known = tables or _TABLES
    return _MARKED.sub(lambda match: _marked(match["name"], *known[match["name"]]), text)


class _WithoutTitles(GenerateJsonSchema):
    """Without titles, which pydantic makes of attributes' names: the keys say as much."""

    def field_title_should_be_set(self, schema: object) -> bool:  # noqa: ARG002
        return False


_TABLES: Tables = {
    "top": (ConfigFile, Section),
    "settings": (Settings, Section),
    "limits": (LimitsSection, Section),
    "issuer": (IssuerEntry, Settings),
    "group": (TargetGroup, Section),
}
_MARKED = re.compile(r"<!-- BEGIN (?P<name>\w+) -->.*?<!-- END (?P=name) -->", re.DOTALL)


def _marked(name: str, section: type[Section], less: type[Section]) -> str:
    rows = [
        _row(field.alias or key, field)
        for key, field in section.model_fields.items()
        if key not in less.model_fields
    ]
    head = ["| key | takes | default | meaning |", "| --- | --- | --- | --- |"]
    return "\n".join([f"<!-- BEGIN {name} -->", *head, *rows, f"<!-- END {name} -->"])


def _row(key: str, field: FieldInfo) -> str:
    takes = _takes(field.annotation, field.metadata)
    default = "required" if field.is_required() else f"`{_yaml(field.default)}`"
    return f"| `{key}` | {takes} | {default} | {field.description} |"


def _yaml(default: object) -> str:
    return default if isinstance(default, str) and default else json.dumps(default)


def _takes(annotation: object, metadata: Iterable[object]) -> str:
    if kind := next((item for item in metadata if isinstance(item, Kind)), None):
        return kind.wish
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return "a mapping: see below"
    args = [arg for arg in get_args(annotation) if arg is not ...]
    parts = [_takes(arg, getattr(arg, "__metadata__", ())) for arg in args]
    if get_origin(annotation) is dict:
        return f"a mapping; keys: {parts[0]}; values: {parts[1]}"
    return f"a list; entries: {parts[0]}"
