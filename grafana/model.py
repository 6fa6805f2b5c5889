"""Grafana's panels: one small function per kind.

Classic JSON, as Grafana 10 to 13 import it. How a kind looks is decided here; what a panel
asks, elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from grafana.fields import DATASOURCE
from grafana.words import NEUTRAL, nothing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grafana.fields import Query
    from grafana.names import Json

COLUMNS = 24
#: Rows of a table or bands of a timeline that a screen can show.
PER_PAGE = 25
#: Bands of a timeline of common height.
FEW = 12

LINEAR: Json = {"type": "linear"}
#: For values of several magnitudes. Zero has no place there: clamp it.
LOGARITHMIC: Json = {"type": "log", "log": 10}


def legend(*calculated: str, kind: str = "table", side: str = "bottom", sort: str = "") -> Json:
    """A legend with numbers calculated of each series: a `table`, or a `list` to save room.

    Sorted by `Max`, the highest comes first; by `Min`, the lowest.
    """
    shown = {"displayMode": kind, "placement": side, "showLegend": True}
    order = {"sortBy": sort, "sortDesc": sort != "Min"} if sort else {}
    return {"calcs": list(calculated), **shown, **order}


#: The highest first, for many series.
RANKED = legend("max", "lastNotNull", sort="Max")
#: In the order of the queries, limits last, for a few.
IN_ORDER = legend("lastNotNull", kind="list")


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
    said = defaults(unit, no_value, mapped, thresholds)
    exactly = {} if decimals is None else {"decimals": decimals}
    return panel(
        "stat",
        (title, description),
        queries,
        size=(w, h),
        options=options,
        defaults=said | exactly | {"links": list(to)},
        overrides=overrides,
    )


def lines(
    title: str,
    description: str,
    *queries: Query,
    w: int = 12,
    h: int = 8,
    unit: str = "short",
    drawn: str = "line",
    scale: Json = LINEAR,
    interval: str = "",
    least: float | None = 0,
    legend: Json = RANKED,
    no_value: str = "no data",
    overrides: Sequence[Json] = (),
    to: Sequence[Json] = (),
) -> Json:
    """Values over time, as `line`, as stacked `area` or as stacked `bars`.

    *interval* is the shortest step, and with it the shortest window of a rate. There are no
    decimals to choose: where rounding makes two ticks of an axis equal, Grafana 10 leaves
    both out.
    """
    # It writes the words of an empty panel at ticks that are left out.
    said = defaults(unit, no_value, [nothing("")]) | {
        "color": {"mode": "palette-classic"},
        "custom": {**_drawn(drawn), "scaleDistribution": scale},
        "links": list(to),
    }
    made = panel(
        "timeseries",
        (title, description),
        queries,
        size=(w, h),
        options={"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}},
        defaults=said | ({} if least is None else {"min": least}),
        overrides=overrides,
    )
    return made | ({"interval": interval} if interval else {})


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
    said = {"unit": unit, "custom": {"scaleDistribution": LINEAR}}
    return panel(
        "heatmap",
        (title, description),
        [query],
        size=(w, 8),
        options=options,
        defaults=said | {"noValue": "no data"},
    )


def row(title: str) -> Json:
    """A heading; what follows stands under it."""
    return {"type": "row", "title": title, "collapsed": False, "panels": []}


def repeated(made: Json, *, direction: str, by: str = "vantage", per_row: int = 2) -> Json:
    """The panel once for every chosen value of the variable *by*.

    Panels and not rows: of a variable without values some Grafanas make a row for the
    vantage "placeholder", but a panel for the empty one, which is right.
    """
    return made | {"repeat": by, "repeatDirection": direction, "maxPerRow": per_row}


def defaults(
    unit: str,
    no_value: str,
    mappings: Sequence[Json] = (),
    thresholds: Json = NEUTRAL,
) -> Json:
    """What is said of all fields of a panel."""
    return {
        "color": {"mode": "thresholds"},
        "mappings": list(mappings),
        "noValue": no_value,
        "thresholds": thresholds,
        "unit": unit,
    }


def panel(
    kind: str,
    says: tuple[str, str],
    queries: Sequence[Query],
    *,
    size: tuple[int, int],
    options: Json,
    defaults: Json,
    overrides: Sequence[Json] = (),
) -> Json:
    """A panel of any kind; what *says* is its title and its description."""
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
