"""Grafana's tables: what they show, how wide, in which order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grafana.fields import EMPTY, Column, Query, at_least, background, override, prop
from grafana.model import COLUMNS, defaults, panel
from grafana.words import nothing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grafana.names import Json

_CELL = {
    "align": "auto",
    "cellOptions": {"type": "auto"},
    "filterable": False,
    "inspect": False,
}


def table(
    title: str,
    description: str,
    *columns: Column,
    w: int = COLUMNS,
    h: int = 8,
    join: str = "",
    sort: str = "",
    no_value: str = EMPTY,
) -> Json:
    """A table; several queries become one row for each value of the label *join*.

    It is sorted by the column called *sort*, the other way round if that begins with `-`.
    """
    queries = [column.query for column in columns if column.query]
    names = {c.field(alone=len(queries) == 1): c for c in columns}
    made = panel(
        "table",
        (title, description),
        queries,
        size=(w, h),
        options=_options(sort),
        defaults=defaults("short", no_value, [nothing(EMPTY)]) | {"custom": _CELL},
        overrides=[override(name, *_said(column)) for name, column in names.items()],
    )
    return made | {"transformations": _arranged(list(names), join)}


def _said(column: Column) -> list[Json]:
    # The words of the panel are for an empty table, not for an empty cell.
    blank = prop("noValue", EMPTY)
    named = prop("displayName", column.title), prop("unit", column.unit)
    return [*named, blank, *column.properties]


def _arranged(names: list[str], join: str) -> list[Json]:
    joined = {"id": "joinByField", "options": {"byField": join, "mode": "outer"}}
    order = {name: index for index, name in enumerate(names)}
    organized = {"excludeByName": {}, "indexByName": order, "renameByName": {}}
    kept = {"id": "filterFieldsByName", "options": {"include": {"names": names}}}
    return [kept, *([joined] if join else []), {"id": "organize", "options": organized}]


def _options(sort: str) -> Json:
    by = {"displayName": sort.removeprefix("-"), "desc": sort.startswith("-")}
    # No pages: they cost three rows of every table, and only rows that are seen are drawn.
    footer = {"show": False, "reducer": [], "countRows": False, "enablePagination": False}
    return {
        "cellHeight": "sm",
        "footer": footer,
        "showHeader": True,
        "sortBy": [by] if sort else [],
    }


def matrix(
    title: str,
    description: str,
    query: Query,
    *,
    row: str,
    column: str,
    mappings: list[Json],
    to: Sequence[Json],
    w: int = COLUMNS,
    h: int = 8,
    no_value: str = EMPTY,
) -> Json:
    """A table with a column for every value of one label, and a row for those of another."""
    grouping = {
        "columnField": column,
        "emptyValue": "null",
        "rowField": row,
        "valueField": "Value",
    }
    # Five places side by side.
    narrow = {**_CELL, "minWidth": 80}
    made = panel(
        "table",
        (title, description),
        [query],
        size=(w, h),
        options=_options(""),
        defaults=defaults("none", no_value) | {"custom": narrow, "links": list(to)},
        overrides=[
            override("number", *background(mappings), matcher="byType"),
            override(f"{row}\\{column}", at_least(200)),
        ],
    )
    return made | {"transformations": [{"id": "groupingToMatrix", "options": grouping}]}
