"""Grafana's state timelines: bands that tell what was when."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grafana.model import COLUMNS, PER_PAGE, defaults, panel
from grafana.words import NOTHING_KNOWN, PLAIN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grafana.fields import Query
    from grafana.names import Json


def timeline(
    title: str,
    description: str,
    *queries: Query,
    mappings: Sequence[Json],
    w: int = COLUMNS,
    h: int = 8,
    unit: str = "none",
    show: str = "auto",
    no_value: str = "no data",
    to: Sequence[Json] = (),
) -> Json:
    """Bands of states over time; they page where there are more than a screen holds."""
    options = {
        "alignValue": "center",
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
    # By thresholds Grafana would merge numbers before it asks what they mean, and paint all
    # of them in the one colour that is left.
    color = {"mode": "fixed", "fixedColor": PLAIN}
    custom = {"fillOpacity": 80, "lineWidth": 0, "spanNulls": False}
    said = defaults(unit, no_value, [*mappings, *NOTHING_KNOWN])
    return panel(
        "state-timeline",
        (title, description),
        queries,
        size=(w, h),
        options=options,
        defaults=said | {"custom": custom, "links": list(to), "color": color},
    )


def of_words(made: Json, field: str) -> Json:
    """A timeline whose band shows the words in the label *field*, one at each moment."""
    kept = {"id": "filterFieldsByName", "options": {"include": {"names": ["Time", field]}}}
    by_time = {"fields": {}, "sort": [{"field": "Time"}]}
    # A table of moments and words: rows come series by series and must go by time again.
    order = {"id": "sortBy", "options": by_time}
    return made | {"transformations": [kept, order]}
