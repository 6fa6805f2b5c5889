"""The shape of the documents for programs, as JSON Schema, read off the nouns themselves.

    python -m exporter.web.api_schema docs/api.schema.json

The daemon does not need it. Members may be added in later versions, none is ever left out.
"""

from __future__ import annotations

import json
import sys
from dataclasses import fields
from enum import StrEnum
from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, get_args, get_origin, get_type_hints

from exporter import model, reasons, summary
from exporter.advice import Advice, Mark, form
from exporter.model import (
    CachePolicy,
    Discovery,
    Failure,
    Fetch,
    Finding,
    Key,
)
from exporter.reasons import Document
from exporter.summary import Standing

if TYPE_CHECKING:
    from collections.abc import Mapping

Schema = dict[str, Any]

_TIMESTAMP = "_timestamp_seconds"
_NAMES = {**vars(reasons), **vars(model), **vars(form), **vars(summary), "Mark": Mark}
_TEXT: Schema = {"type": "string"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_TRUTH: Schema = {"type": "boolean"}
# Not a number and infinity have no form in JSON.
_NUMBER: Schema = {"type": ["number", "null"]}
_SECONDS: Schema = {"type": "number"}
_PLAIN = {str: _TEXT, bool: _TRUTH, int: {"type": "integer"}, float: _NUMBER}


def json_schema() -> Schema:
    """Of all three documents, told apart by their members."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "What the OIDC issuer exporter answers below /api/v1/issuers",
        "anyOf": [
            {"$ref": "#/$defs/issuers"},
            {"$ref": "#/$defs/issuer"},
            {"$ref": "#/$defs/error"},
        ],
        "$defs": {
            "issuers": _object({**_head(), "issuers": _list(_ref("summary"))}),
            "issuer": _object(
                {**_head(), "summary": _ref("summary"), "reports": _list(_ref("report"))}
            ),
            "error": _object({"error": _TEXT, "name": _TEXT}),
            "summary": _object(_summary()),
            "report": _object({"left_out": _COUNT, **_report()}),
            "failure": _object({**_members(Failure), "advice": _ref("advice")}),
            "finding": _object({**_members(Finding), "advice": _ref("advice")}),
            "advice": _object({**_members(Advice), "cause_sentence": _TEXT}),
            "fetch": _object({**_members(Fetch), "caching": _or_null(_ref("caching"))}),
            "caching": _object({**_members(CachePolicy), "meaning": _TEXT}),
            "key": _object({"is_usable": _TRUTH, **_members(Key)}),
        },
    }


def _head() -> Schema:
    return {"version": _TEXT, **_time("now")}


def _summary() -> Schema:
    unknown = _or_null(_NUMBER)
    return {
        "name": _TEXT,
        "url": _TEXT,
        "labels": {"type": "object", "additionalProperties": _TEXT},
        "standing": _enum(Standing),
        "words": _TEXT,
        "failure": _or_null(_object(_members(Failure))),
        "findings": _COUNT,
        **_time("since"),
        **_time("probed"),
        "duration_seconds": unknown,
        "budget_seconds": _SECONDS,
        "is_cacheable": _or_null(_TRUTH),
        "max_age_seconds": unknown,
        "keys_published": _or_null(_COUNT),
        "keys_usable": _or_null(_COUNT),
        **_time("certificate_not_after"),
    }


def _report() -> Schema:
    return {
        "verdict": {"enum": ["USABLE", "NOT USABLE", "UNKNOWN"]},
        "sentence": _TEXT,
        "is_usable": _TRUTH,
        "issuer": _object(
            {
                "name": _TEXT,
                "url": _TEXT,
                "budget_seconds": _SECONDS,
                "timeout_seconds": _SECONDS,
            }
        ),
        **_time("started"),
        **_time("ended"),
        "duration_seconds": _or_null(_NUMBER),
        "attempt": {"type": "integer", "minimum": 1},
        **_time("retry_after"),
        "failure": _or_null(_ref("failure")),
        "findings": _list(_ref("finding")),
        # A document that the probe did not come to is absent.
        "fetches": {
            "type": "object",
            "properties": {document.value: _ref("fetch") for document in Document},
            "additionalProperties": False,
        },
        "discovery": _or_null(_object(_members(Discovery))),
        "key_set": _or_null(
            _object(
                {
                    "sha256": _TEXT,
                    "published": _COUNT,
                    "usable": _COUNT,
                    "keys": _list(_ref("key")),
                }
            )
        ),
    }


def _members(noun: type) -> Schema:
    """As `exporter.report_json` writes the fields of *noun*."""
    hints = get_type_hints(noun, localns=_NAMES)
    members: Schema = {}
    for field in fields(noun):
        if field.name.endswith(_TIMESTAMP):
            members |= _time(field.name.removesuffix(_TIMESTAMP))
        else:
            members[field.name] = _of(hints[field.name])
    return members


def _of(hint: Any) -> Schema:  # noqa: ANN401 - a type, a union or a generic alias
    if hint in _PLAIN:
        return _PLAIN[hint]
    if get_origin(hint) is UnionType:
        (inner,) = (one for one in get_args(hint) if one is not NoneType)
        return _or_null(_of(inner))
    if get_origin(hint) is tuple:
        return _tuple(get_args(hint))
    if issubclass(hint, StrEnum):
        return _enum(hint)
    return _object(_members(hint))


def _tuple(parts: tuple[Any, ...]) -> Schema:
    if parts[1] is ...:
        return _list(_of(parts[0]))
    size = len(parts)
    items = [_of(part) for part in parts]
    return {"type": "array", "prefixItems": items, "minItems": size, "maxItems": size}


def _enum(vocabulary: type[StrEnum]) -> Schema:
    return {"enum": [word.value for word in vocabulary]}


def _object(members: Mapping[str, Schema]) -> Schema:
    return {"type": "object", "properties": dict(members), "required": list(members)}


def _list(item: Schema) -> Schema:
    return {"type": "array", "items": item}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def _or_null(schema: Schema) -> Schema:
    return schema if schema is _NUMBER else {"anyOf": [schema, {"type": "null"}]}


def _time(name: str) -> Schema:
    date = {"type": ["string", "null"], "format": "date-time"}
    return {f"{name}{_TIMESTAMP}": _NUMBER, f"{name}_time": date}


def text() -> str:
    """The schema as it stands in the documentation."""
    return json.dumps(json_schema(), indent=2) + "\n"


if __name__ == "__main__":  # pragma: no cover
    Path(sys.argv[1]).write_text(text(), "utf-8")
