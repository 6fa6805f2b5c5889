"""Grafana's panels: one small function per kind.

Classic JSON, as Grafana 10 to 13 import it. How a kind looks is decided here; what a panel
asks, elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from grafana.fields import DATASOURCE, EMPTY, Column, Query, background, override, prop
from grafana.words import NEUTRAL, PLAIN, nothing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grafana.names import Json

COLUMNS = 24
#: Rows of a table or bands of a timeline that a screen can show.
PER_PAGE = 25

_CELL = {"align": "auto", "cellOptions": {"type": "auto"}, "filterable": True, "inspect": False}


def stat(
    title: str,
    description: str,
    *queries: Query,
    w: int = 4,
    h: int = 4,
    unit: str = "short",
    decimals: int | None = None,
    thresholds: Json = NEUTRAL,
    mappings: Sequence[Json] = (),
    text: str = "value",
    filled: bool = False,
    no_value: str = "no data",
    overrides: Sequence[Json] = (),
    to: Sequence[Json] = (),
) -> Json:
    """A number or a word that is read from afar; *text* says whether its name is, too."""
    options = {
        "colorMode": "background" if filled else "value",
        "graphMode": "none",
        "justifyMode": "auto",
        "orientation": "auto",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "textMode": text,
        "wideLayout": True,
    }
    mapped = [*mappings, nothing(no_value)]
    defaults = _defaults(unit, no_value, mapped, thresholds, decimals)
    return _panel(
        "stat",
        (title, description),
        queries,
        size=(w, h),
        options=options,
        defaults=defaults | {"links": list(to)},
        overrides=overrides,
    )


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
    """A table; several queries become one row for each value of the label *join*."""
    queries = [column.query for column in columns if column.query]
    names = {c.field(alone=len(queries) == 1): c for c in columns}
    panel = _panel(
        "table",
        (title, description),
        queries,
        size=(w, h),
        options=_table_options([{"displayName": sort, "desc": False}] if sort else []),
        defaults=_defaults("short", no_value) | {"custom": _CELL},
        overrides=[
            override(name, prop("displayName", c.title), prop("unit", c.unit), *c.properties)
            for name, c in names.items()
        ],
    )
    return panel | {"transformations": _arranged(list(names), join)}


def _arranged(names: list[str], join: str) -> list[Json]:
    joined = {"id": "joinByField", "options": {"byField": join, "mode": "outer"}}
    order = {name: index for index, name in enumerate(names)}
    organized = {"excludeByName": {}, "indexByName": order, "renameByName": {}}
    return [
        _kept(names),
        *([joined] if join else []),
        {"id": "organize", "options": organized},
    ]


def _kept(names: list[str]) -> Json:
    return {"id": "filterFieldsByName", "options": {"include": {"names": names}}}


def _table_options(sort: Sequence[Json]) -> Json:
    # Pagination has moved out of the footer (12.3): each Grafana reads the one it knows.
    footer = {"show": False, "reducer": [], "countRows": False, "enablePagination": True}
    return {
        "cellHeight": "sm",
        "enablePagination": True,
        "footer": footer,
        "showHeader": True,
        "sortBy": list(sort),
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
    panel = _panel(
        "table",
        (title, description),
        [query],
        size=(w, h),
        options=_table_options([]),
        defaults=_defaults("none", no_value) | {"custom": _CELL, "links": list(to)},
        overrides=[override("number", *background(mappings), matcher="byType")],
    )
    return panel | {"transformations": [{"id": "groupingToMatrix", "options": grouping}]}


def timeline(
    title: str,
    description: str,
    *queries: Query,
    mappings: Sequence[Json],
    w: int = COLUMNS,
    h: int = 8,
    unit: str = "none",
    show: str = "never",
    color: str = "fixed",
    no_value: str = "no data",
    to: Sequence[Json] = (),
) -> Json:
    """Bands of states over time; they page where there are more than a screen holds.

    By thresholds Grafana would merge numbers before it asks what they mean, and paint all of
    them in the one colour that is left.
    """
    options = {
        "alignValue": "left",
        "legend": {
            "calcs": [],
            "displayMode": "list",
            "placement": "bottom",
            "showLegend": False,
        },
        "mergeValues": True,
        # Grafana 10 knows no pages and draws all bands, which is why queries have limits.
        "perPage": PER_PAGE,
        "rowHeight": 0.85,
        "showValue": show,
        "tooltip": {"mode": "single", "sort": "none"},
    }
    custom = {"fillOpacity": 80, "lineWidth": 0, "spanNulls": False}
    defaults = _defaults(unit, no_value, mappings) | {"custom": custom, "links": list(to)}
    return _panel(
        "state-timeline",
        (title, description),
        queries,
        size=(w, h),
        options=options,
        defaults=defaults | {"color": {"mode": color, "fixedColor": PLAIN}},
    )


def word_timeline(panel: Json, field: str) -> Json:
    """A timeline whose band shows the words in the label *field*, one at each moment."""
    by_time = {"fields": {}, "sort": [{"field": "Time"}]}
    # A table of moments and words: rows come series by series and must go by time again.
    order = {"id": "sortBy", "options": by_time}
    return panel | {"transformations": [_kept(["Time", field]), order]}


def lines(
    title: str,
    description: str,
    *queries: Query,
    w: int = 12,
    h: int = 8,
    unit: str = "short",
    decimals: int | None = None,
    drawn: str = "line",
    interval: str = "",
    least: float | None = 0,
    legend: Sequence[str] = ("max", "lastNotNull"),
    no_value: str = "no data",
    overrides: Sequence[Json] = (),
    to: Sequence[Json] = (),
) -> Json:
    """Values over time, as `line`, as stacked `area` or as stacked `bars`.

    *interval* is the shortest step, and with it the shortest window of a rate.
    """
    defaults = _defaults(unit, no_value, decimals=decimals) | {
        "color": {"mode": "palette-classic"},
        "custom": _drawn(drawn),
        "links": list(to),
    }
    panel = _panel(
        "timeseries",
        (title, description),
        queries,
        size=(w, h),
        options={"legend": _legend(legend), "tooltip": {"mode": "multi", "sort": "desc"}},
        defaults=defaults | ({} if least is None else {"min": least}),
        overrides=overrides,
    )
    return panel | ({"interval": interval} if interval else {})


def _drawn(kind: str) -> Json:
    stacked = kind != "line"
    return {
        "drawStyle": "bars" if kind == "bars" else "line",
        "fillOpacity": 70 if stacked else 0,
        "lineInterpolation": "linear",
        "lineWidth": 1,
        "showPoints": "never" if stacked else "auto",
        "spanNulls": False,
        "stacking": {"group": "A", "mode": "normal" if stacked else "none"},
        "thresholdsStyle": {"mode": "off"},
    }


def _legend(calculated: Sequence[str]) -> Json:
    by_maximum = {"sortBy": "Max", "sortDesc": True} if "max" in calculated else {}
    shown = {"displayMode": "table", "placement": "bottom", "showLegend": True}
    return {"calcs": list(calculated), **shown, **by_maximum}


def heatmap(title: str, description: str, query: Query, *, unit: str, w: int = 12) -> Json:
    """How many observations fell into which bucket, over time."""
    color = {
        "mode": "scheme",
        # No red, amber or green, which mean a state elsewhere.
        "scheme": "Blues",
        "scale": "exponential",
        "exponent": 0.5,
        "fill": "dark-blue",
        "reverse": False,
        "steps": 32,
    }
    options = {
        "calculate": False,
        "cellGap": 1,
        "cellValues": {"unit": "short", "decimals": 1},
        "color": color,
        "exemplars": {"color": "rgba(255,0,255,0.7)"},
        "filterValues": {"le": 1e-9},
        "legend": {"show": True},
        "rowsFrame": {"layout": "auto"},
        "showValue": "never",
        "tooltip": {"mode": "single", "showColorScale": False, "yHistogram": True},
        "yAxis": {"axisPlacement": "left", "reverse": False, "unit": unit},
    }
    defaults = {"unit": unit, "custom": {"scaleDistribution": {"type": "linear"}}}
    return _panel(
        "heatmap",
        (title, description),
        [query],
        size=(w, 8),
        options=options,
        defaults=defaults | {"noValue": "no data"},
    )


def row(title: str) -> Json:
    """A heading; what follows stands under it."""
    return {"type": "row", "title": title, "collapsed": False, "panels": []}


def repeated(panel: Json, *, direction: str, by: str = "vantage", per_row: int = 2) -> Json:
    """The panel once for every chosen value of the variable *by*.

    Panels and not rows: of a variable without values some Grafanas make a row for the
    vantage "placeholder", but a panel for the empty one, which is right.
    """
    return panel | {"repeat": by, "repeatDirection": direction, "maxPerRow": per_row}


def _defaults(
    unit: str,
    no_value: str,
    mappings: Sequence[Json] = (),
    thresholds: Json = NEUTRAL,
    decimals: int | None = None,
) -> Json:
    found = {
        "color": {"mode": "thresholds"},
        "mappings": list(mappings),
        "noValue": no_value,
        "thresholds": thresholds,
        "unit": unit,
    }
    return found if decimals is None else found | {"decimals": decimals}


def _panel(
    kind: str,
    says: tuple[str, str],
    queries: Sequence[Query],
    *,
    size: tuple[int, int],
    options: Json,
    defaults: Json,
    overrides: Sequence[Json] = (),
) -> Json:
    title, description = says
    return {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": DATASOURCE,
        "targets": [query.json() for query in queries],
        "gridPos": {"w": size[0], "h": size[1]},
        "options": options,
        "fieldConfig": {"defaults": defaults, "overrides": list(overrides)},
    }
