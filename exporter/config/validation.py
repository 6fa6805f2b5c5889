"""Parsed values to typed sections, or problems: the only place that words pydantic's errors."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, TypeVar

from pydantic import ValidationError

from exporter.config.problems import shown
from exporter.config.schema import (
    ConfigFile,
    IssuerEntry,
    LimitsSection,
    Section,
    Settings,
    TargetGroup,
)

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

    from exporter.config.problems import Loc, Problem
    from exporter.config.schema import FindCertificates
    from exporter.config.yamlfile import Source

S = TypeVar("S", bound=Section)

# Kinds of value word their own errors; pydantic's are those of form.
_FORMS = {
    "missing": "is missing",
    "dict_type": "want a mapping, got {got}",
    "tuple_type": "want a list, got {got}",
    "too_long": "want at most {max_length} entries, got {actual_length}",
}


def validate(
    section: type[S],
    value: object,
    source: Source,
    loc: Loc,
    find: FindCertificates | None = None,
) -> tuple[S | None, list[Problem]]:
    """Read *value*, which stands at *loc* of *source*, as *section*.

    Without *find* no key of *section* may name a file of certificates.

    Returns:
        The section, or None and all that is wrong with it.
    """
    try:
        return section.model_validate(value, context=find), []
    except ValidationError as error:
        return None, [
            source.problem((*loc, *_loc(detail)), _worded(detail, section))
            for detail in error.errors(include_url=False)
        ]


def _loc(detail: ErrorDetails) -> Loc:
    # pydantic adds "[key]" where not a value but its key is wrong.
    loc = detail["loc"]
    return loc[:-1] if loc[-1:] == ("[key]",) else loc


def _worded(detail: ErrorDetails, section: type[Section]) -> str:
    loc, got = detail["loc"], shown(detail["input"])
    match detail["type"]:
        case "value_error":
            return str(detail["ctx"]["error"])
        case "extra_forbidden":
            return _unknown(str(loc[-1]), _innermost(section, loc[:-1]))
        case "model_type":
            first = _keys(_innermost(section, loc))[0]
            return f"want a mapping with keys such as {first}, got {got}"
        case form:
            return _FORMS[form].format(got=got, **detail.get("ctx", {}))


def _unknown(key: str, section: type[Section]) -> str:
    known = _keys(section)
    homes = _HOMES if section in _SECTIONS else {}
    if home := next((home for home, keys in homes.items() if key in keys), None):
        return f"unknown key here, it belongs {home}"
    if near := get_close_matches(key, known, n=1):
        return f"unknown key, did you mean {near[0]}?"
    return f"unknown key, known are {', '.join(known)}"


def _keys(section: type[Section]) -> list[str]:
    return [field.alias or name for name, field in section.model_fields.items()]


def _innermost(section: type[Section], loc: Loc) -> type[Section]:
    """The section that *loc*, a way through sections only, leads to."""
    for step in loc:
        fields = section.model_fields.values()
        inner = next(field.annotation for field in fields if field.alias == step)
        assert isinstance(inner, type)  # noqa: S101 - it is one: see above
        section = inner
    return section


_HOMES = {
    "at the top": _keys(ConfigFile),
    "under limits": _keys(LimitsSection),
    "under defaults or in an issuer": _keys(Settings),
    "in an issuer": _keys(IssuerEntry),
}
# Of one kind of file: another kind has other keys, and may have one of the same name.
_SECTIONS = {ConfigFile, LimitsSection, Settings, IssuerEntry, TargetGroup}
