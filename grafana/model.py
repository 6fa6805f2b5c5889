"""Grafana's panels: one small function per kind, and the dashboard around them.

Classic JSON, schema 39, as Grafana 10 to 13 import it. What a panel has in common with all
others (data source, ids, places, checked names) is decided here; what it asks, elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from grafana.names import Json, checked
from grafana.words import NEUTRAL

if TYPE_CHECKING:
    from collections.abc import Sequence

SCHEMA_VERSION = 39
COLUMNS = 24
DATASOURCE: Json = {"type": "prometheus", "uid": "${datasource}"}
#: Rows of a table or bands of a timeline that a screen can show.
PER_PAGE = 25
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


def prop(name: str, value: object) -> Json:
    """One property of a field."""
    return {"id": name, "value": value}


def override(field: str, *properties: Json, matcher: str = "byName") -> Json:
    """What differs for one field."""
    return {"matcher": {"id": matcher, "options": field}, "properties": list(properties)}


def gauge_cell(thresholds: Json, *, most: float = 1) -> tuple[Json, ...]:
    """Properties of a cell that draws its value as a bar."""
    cell = {"type": "gauge", "mode": "basic", "valueDisplayMode": "text"}
    bounds = (prop("min", 0), prop("max", most), prop("thresholds", thresholds))
    return (prop("custom.cellOptions", cell), *bounds)


def background(
    mappings: list[Json] | None = None, steps: Json | None = None
) -> tuple[Json, ...]:
    """Properties of a cell that is filled with the colour of its state."""
    return _coloured({"type": "color-background", "mode": "basic"}, mappings, steps)


def coloured_text(
    mappings: list[Json] | None = None, steps: Json | None = None
) -> tuple[Json, ...]:
    """Properties of a cell whose text has the colour of its state."""
    return _coloured({"type": "color-text"}, mappings, steps)


def _coloured(cell: Json, mappings: list[Json] | None, steps: Json | None) -> tuple[Json, ...]:
    found = [prop("custom.cellOptions", cell)]
    found += [prop("mappings", mappings)] if mappings else []
    # What no mapping knows stays plain, instead of taking the default green.
    return (*found, prop("thresholds", steps or NEUTRAL))


def links(*found: Json) -> Json:
    """Where a cell or a value leads to."""
    return prop("links", list(found))


def stat(
    title: str,
    description: str,
    *queries: Query,
    w: int = 4,
    h: int = 4,
    unit: str = "short",
    thresholds: Json = NEUTRAL,
    mappings: Sequence[Json] = (),
    no_value: str = "no data",
    names: bool = False,
    name_only: bool = False,
    color: str = "value",
    decimals: int | None = None,
    overrides: Sequence[Json] = (),
    to: Sequence[Json] = (),
) -> Json:
    """A number or a word that is read from afar."""
    options = {
        "colorMode": color,
        "graphMode": "none",
        "justifyMode": "auto",
        "orientation": "auto",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "textMode": "name" if name_only else "value_and_name" if names else "value",
        "wideLayout": True,
    }
    defaults = _defaults(unit, thresholds, mappings, no_value, decimals) | {"links": list(to)}
    return _panel(
        "stat",
        (title, description),
        queries,
        size=(w, h),
        options=options,
        defaults=defaults,
        overrides=overrides,
    )


def table(
    title: str,
    description: str,
    columns: Sequence[Column],
    *,
    w: int = COLUMNS,
    h: int = 8,
    join: str = "",
    sort: str = "",
    descending: bool = False,
    no_value: str = EMPTY,
) -> Json:
    """A table; several queries become one row for each value of the label *join*."""
    queries = [column.query for column in columns if column.query]
    names = {c.field(alone=len(queries) == 1): c for c in columns}
    wanted = list(names)
    transformations: list[Json] = [
        {"id": "filterFieldsByName", "options": {"include": {"names": wanted}}}
    ]
    if join:
        options = {"byField": join, "mode": "outer"}
        transformations.append({"id": "joinByField", "options": options})
    order = {name: index for index, name in enumerate(wanted)}
    organize = {"excludeByName": {}, "indexByName": order, "renameByName": {}}
    transformations.append({"id": "organize", "options": organize})
    panel = _panel(
        "table",
        (title, description),
        queries,
        size=(w, h),
        options=_table_options([{"displayName": sort, "desc": descending}] if sort else []),
        defaults=_defaults("short", NEUTRAL, (), no_value, None) | {"custom": _CELL},
        overrides=[
            override(name, prop("displayName", c.title), prop("unit", c.unit), *c.properties)
            for name, c in names.items()
        ],
    )
    return panel | {"transformations": transformations}


_CELL = {"align": "auto", "cellOptions": {"type": "auto"}, "filterable": True, "inspect": False}


def _table_options(sort: Sequence[Json]) -> Json:
    # Where a table has no footer any more (12.2 and newer) its pagination is still read
    # from here and moved.
    footer = {"show": False, "reducer": [], "countRows": False, "enablePagination": True}
    return {"cellHeight": "sm", "footer": footer, "showHeader": True, "sortBy": list(sort)}


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
    grouping = {"columnField": column, "rowField": row, "valueField": "Value"}
    cells = override("number", *background(mappings), matcher="byType")
    defaults = _defaults("none", NEUTRAL, (), no_value, None)
    panel = _panel(
        "table",
        (title, description),
        [query],
        size=(w, h),
        options=_table_options([]),
        defaults=defaults | {"custom": _CELL, "links": list(to)},
        overrides=[cells],
    )
    return panel | {"transformations": [{"id": "groupingToMatrix", "options": grouping}]}


def timeline(
    title: str,
    description: str,
    *queries: Query,
    w: int = COLUMNS,
    h: int = 8,
    unit: str = "none",
    mappings: Sequence[Json] = (),
    thresholds: Json = NEUTRAL,
    show: str = "auto",
    no_value: str = "no data",
    to: Sequence[Json] = (),
    color: str = "thresholds",
) -> Json:
    """Bands of states over time; they page where there are more than a screen holds."""
    options = {
        "alignValue": "left",
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": False},
        "mergeValues": True,
        # Grafana 10 knows no pages and draws all bands, which is why queries have limits.
        "perPage": PER_PAGE,
        "rowHeight": 0.85,
        "showValue": show,
        "tooltip": {"mode": "single", "sort": "none"},
    }
    defaults = _defaults(unit, thresholds, mappings, no_value, None)
    defaults |= {"custom": {"fillOpacity": 80, "lineWidth": 0, "spanNulls": False}}
    defaults |= {"links": list(to), "color": {"mode": color}}
    return _panel(
        "state-timeline",
        (title, description),
        queries,
        size=(w, h),
        options=options,
        defaults=defaults,
    )


def word_timeline(
    title: str, description: str, query: Query, field: str, mappings: list[Json], *, h: int = 3
) -> Json:
    """One band that shows the word in the label *field* of the only series of each moment."""
    panel = timeline(title, description, query, h=h, mappings=mappings, unit="string")
    # A table of moments and words: rows come series by series and must go by time again.
    panel["transformations"] = [
        {"id": "filterFieldsByName", "options": {"include": {"names": ["Time", field]}}},
        {"id": "sortBy", "options": {"fields": {}, "sort": [{"field": "Time"}]}},
    ]
    return panel


def lines(
    title: str,
    description: str,
    *queries: Query,
    w: int = 12,
    h: int = 8,
    unit: str = "short",
    stacked: bool = False,
    bars: bool = False,
    interval: str = "",
    least: float | None = 0,
    decimals: int | None = None,
    legend: Sequence[str] = ("max", "lastNotNull"),
    overrides: Sequence[Json] = (),
    no_value: str = "no data",
    to: Sequence[Json] = (),
) -> Json:
    """Values over time."""
    options = {
        "legend": {
            "calcs": list(legend),
            "displayMode": "table" if legend else "list",
            "placement": "bottom",
            "showLegend": True,
            **({"sortBy": "Max", "sortDesc": True} if "max" in legend else {}),
        },
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    custom = {
        "drawStyle": "bars" if bars else "line",
        "fillOpacity": 70 if stacked or bars else 0,
        "lineInterpolation": "linear",
        "lineWidth": 1,
        "showPoints": "never" if stacked or bars else "auto",
        "spanNulls": False,
        "stacking": {"group": "A", "mode": "normal" if stacked else "none"},
        "thresholdsStyle": {"mode": "off"},
    }
    defaults = _defaults(unit, NEUTRAL, (), no_value, decimals)
    defaults |= {"custom": custom, "color": {"mode": "palette-classic"}, "links": list(to)}
    defaults |= {} if least is None else {"min": least}
    panel = _panel(
        "timeseries",
        (title, description),
        queries,
        size=(w, h),
        options=options,
        defaults=defaults,
        overrides=overrides,
    )
    return panel | ({"interval": interval} if interval else {})


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
    )


def heatmap(title: str, description: str, query: Query, *, unit: str, w: int = 12) -> Json:
    """How many observations fell into which bucket, over time."""
    options = {
        "calculate": False,
        "cellGap": 1,
        "cellValues": {"unit": "short", "decimals": 1},
        "color": {
            "mode": "scheme",
            # Dark to bright without red, amber and green, which mean a state elsewhere.
            "scheme": "Blues",
            "scale": "exponential",
            "exponent": 0.5,
            "fill": "dark-blue",
            "reverse": False,
            "steps": 32,
        },
        "exemplars": {"color": "rgba(255,0,255,0.7)"},
        "filterValues": {"le": 1e-9},
        "legend": {"show": True},
        "rowsFrame": {"layout": "auto"},
        "showValue": "never",
        "tooltip": {"mode": "single", "showColorScale": False, "yHistogram": True},
        "yAxis": {"axisPlacement": "left", "reverse": False, "unit": unit},
    }
    defaults = {"unit": unit, "custom": {"scaleDistribution": {"type": "linear"}}}
    defaults |= {"noValue": "no data"}
    return _panel(
        "heatmap",
        (title, description),
        [query],
        size=(w, 8),
        options=options,
        defaults=defaults,
    )


def row(title: str) -> Json:
    """A heading; what follows stands under it."""
    return {"type": "row", "title": title, "collapsed": False, "panels": []}


def repeated(panel: Json, *, direction: str, by: str = "vantage", per_row: int = 2) -> Json:
    """The panel once for every chosen value of the variable *by*."""
    return panel | {"repeat": by, "repeatDirection": direction, "maxPerRow": per_row}


def _defaults(
    unit: str,
    thresholds: Json,
    mappings: Sequence[Json],
    no_value: str,
    decimals: int | None,
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


def variable(
    name: str,
    label: str,
    query: str,
    *,
    every: str = ".+",
    multi: bool = True,
    shown: bool = True,
    description: str = "",
) -> Json:
    """A variable filled from the labels of a series; *every* is what All stands for."""
    found: Json = {
        "name": name,
        "label": label,
        "description": description,
        "type": "query",
        "datasource": DATASOURCE,
        "definition": query,
        "query": {"qryType": 1, "query": query, "refId": "PrometheusVariableQueryEditor"},
        "hide": 0 if shown else 2,
        "includeAll": multi,
        "multi": multi,
        "options": [],
        "refresh": 2,
        "regex": "",
        "skipUrlSync": False,
        "sort": 1,
    }
    if not multi:
        return found | {"current": {}}
    chosen = {"selected": True, "text": ["All"], "value": ["$__all"]}
    return found | {"allValue": every, "current": chosen}


def datasource_variable() -> Json:
    """The choice of a Prometheus."""
    return {
        "name": "datasource",
        "label": "Data source",
        "description": "The Prometheus that scrapes the exporters and evaluates their rules.",
        "type": "datasource",
        "query": "prometheus",
        "current": {},
        "hide": 0,
        "includeAll": False,
        "multi": False,
        "options": [],
        "refresh": 1,
        "regex": "",
        "skipUrlSync": False,
    }


def annotation(
    name: str,
    expr: str,
    *,
    title: str,
    text: str,
    color: str,
    at_value: bool = False,
    on: bool = True,
) -> Json:
    """Marks on every graph while *expr* has an answer, or *at_value*, in milliseconds."""
    return {
        "name": name,
        "datasource": DATASOURCE,
        "enable": on,
        "hide": False,
        "iconColor": color,
        "expr": checked(expr.strip()),
        "step": "60s",
        "titleFormat": title,
        "textFormat": text,
        "tagKeys": "",
        "useValueForTime": at_value,
    }


def dashboard(
    uid: str,
    title: str,
    description: str,
    panels: Sequence[Json],
    *,
    variables: Sequence[Json],
    annotations: Sequence[Json],
    to: Sequence[Json],
    since: str = "now-6h",
    refresh: str = "1m",
) -> Json:
    """A whole dashboard; its panels flow from left to right, as words in a text do."""
    return {
        "id": None,
        "uid": uid,
        "title": f"OIDC / {title}",
        "description": description,
        "tags": ["oidc"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": False,
        "fiscalYearStartMonth": 0,
        "graphTooltip": 1,
        "liveNow": False,
        "refresh": refresh,
        "time": {"from": since, "to": "now"},
        "timepicker": {},
        "timezone": "",
        "weekStart": "",
        "annotations": {"list": list(annotations)},
        "links": list(to),
        "templating": {"list": [datasource_variable(), *variables]},
        "panels": _placed(panels),
    }


def _placed(panels: Sequence[Json]) -> list[Json]:
    found: list[Json] = []
    x = y = height = 0
    for number, panel in enumerate(panels, start=1):
        size = panel.get("gridPos", {"w": COLUMNS, "h": 1})
        if x + size["w"] > COLUMNS:
            x, y, height = 0, y + height, 0
        found.append(panel | {"id": number, "gridPos": {**size, "x": x, "y": y}})
        x, height = x + size["w"], max(height, size["h"])
    return found


def dashboard_link(title: str, url: str, *, all_variables: bool = True) -> Json:
    """A link in the head of a dashboard, which keeps the time and the variables."""
    return _head_link(title, url) | {"includeVars": all_variables, "keepTime": True}


def page_link(title: str, url: str) -> Json:
    """A link in the head of a dashboard to somewhere else."""
    return _head_link(title, url) | {"icon": "doc", "targetBlank": True}


def _head_link(title: str, url: str) -> Json:
    return {
        "asDropdown": False,
        "icon": "dashboard",
        "includeVars": False,
        "keepTime": False,
        "tags": [],
        "targetBlank": False,
        "title": title,
        "tooltip": "",
        "type": "link",
        "url": url,
    }
