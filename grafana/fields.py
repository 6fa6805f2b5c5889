"""What panels are made of: queries, and what is said of the fields that come back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from grafana.names import Json, checked
from grafana.words import NEUTRAL, nothing

if TYPE_CHECKING:
    from collections.abc import Sequence

DATASOURCE: Json = {"type": "prometheus", "uid": "${datasource}"}
#: What a cell shows that has no value: never a zero.
EMPTY = "-"


@dataclass(frozen=True, kw_only=True)
class Query:
    """What is asked, and how the answer is called.

    Attributes:
        ref: Unique within the panel; a table's column is called `Value #<ref>` after it.
        legend: The name of a series, with `{{label}}`.
        format: `time_series`, `table` or `heatmap`.
    """

    expr: str
    ref: str = "A"
    legend: str = ""
    instant: bool = False
    format: str = "time_series"

    def json(self) -> Json:
        """A target, as a panel holds it."""
        return {
            "datasource": DATASOURCE,
            "editorMode": "code",
            "exemplar": False,
            "expr": checked(self.expr.strip()),
            "format": self.format,
            "instant": self.instant,
            "legendFormat": self.legend,
            "range": not self.instant,
            "refId": self.ref,
        }


def now(expr: str, ref: str = "A", legend: str = "") -> Query:
    """The answer of this moment, for a number."""
    return Query(expr=expr, ref=ref, legend=legend, instant=True)


def rows(expr: str, ref: str = "A") -> Query:
    """The answer of this moment, for a table."""
    return Query(expr=expr, ref=ref, instant=True, format="table")


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of a table: the values of a query, or a label that comes with some query."""

    title: str
    label: str = ""
    query: Query | None = None
    unit: str = "string"
    properties: tuple[Json, ...] = ()

    def field(self, *, alone: bool) -> str:
        """The field's name, which depends on how many queries the table has."""
        if self.label or self.query is None:
            return self.label
        return "Value" if alone else f"Value #{self.query.ref}"


def label(title: str, name: str, *properties: Json) -> Column:
    """A column with the values of a label, by which rows can be filtered."""
    return Column(title=title, label=name, properties=(FILTERABLE, *properties))


def value(title: str, query: Query, *properties: Json, unit: str = "none") -> Column:
    """A column with the values of a query."""
    return Column(title=title, query=query, unit=unit, properties=properties)


def prop(name: str, setting: object) -> Json:
    """One property of a field."""
    return {"id": name, "value": setting}


#: A column whose head has a filter.
FILTERABLE = prop("custom.filterable", setting=True)


def width(pixels: int) -> Json:
    """How wide a column is, whatever the screen."""
    return prop("custom.width", pixels)


def at_least(pixels: int) -> Json:
    """How narrow a column may become that takes what the others leave."""
    return prop("custom.minWidth", pixels)


def decimals(number: int) -> Json:
    """How exactly a cell's value is written."""
    return prop("decimals", number)


def links(*found: Json) -> Json:
    """Where a cell or a value leads to."""
    return prop("links", list(found))


def override(field: str, *properties: Json, matcher: str = "byName") -> Json:
    """What differs for one field."""
    return {"matcher": {"id": matcher, "options": field}, "properties": list(properties)}


def gauge_cell(thresholds: Json, mappings: Sequence[Json] = ()) -> tuple[Json, ...]:
    """Properties of a cell that draws its value, a share, as a bar."""
    cell = {"type": "gauge", "mode": "basic", "valueDisplayMode": "text"}
    looks = _coloured(cell, list(mappings), thresholds)
    return (*looks, prop("min", 0), prop("max", 1))


def background(mappings: list[Json]) -> tuple[Json, ...]:
    """Properties of a cell that is filled with the colour of its state."""
    cell = {"type": "color-background", "mode": "basic"}
    return (*_coloured(cell, mappings, NEUTRAL), prop("custom.align", "center"))


def coloured_text(
    mappings: Sequence[Json] = (), thresholds: Json = NEUTRAL
) -> tuple[Json, ...]:
    """Properties of a cell whose text has the colour of its state."""
    return _coloured({"type": "color-text"}, list(mappings), thresholds)


def _coloured(cell: Json, mappings: list[Json], thresholds: Json) -> tuple[Json, ...]:
    # What no mapping knows stays plain, instead of taking the default green.
    return (
        prop("custom.cellOptions", cell),
        prop("mappings", [*mappings, nothing(EMPTY)]),
        prop("thresholds", thresholds),
    )


def limit(name: str, color: str) -> Json:
    """How the series *name* is drawn when it is a line that others are held against."""
    return override(
        name,
        prop("color", {"mode": "fixed", "fixedColor": color}),
        prop("custom.lineStyle", {"fill": "dash", "dash": [8, 6]}),
        prop("custom.lineWidth", 2),
        prop("custom.fillOpacity", 0),
        prop("custom.showPoints", "never"),
        prop("custom.stacking", {"group": "limit", "mode": "none"}),
        # It belongs to no issuer that a link could show.
        links(),
    )


def fixed(name: str, color: str) -> Json:
    """A colour of its own for one series."""
    return override(name, prop("color", {"mode": "fixed", "fixedColor": color}))
