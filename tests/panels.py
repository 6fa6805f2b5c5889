"""What Grafana makes of a panel: queries with its variables put in, fields, texts, colours.

Written after Grafana's own code: macros and escapes of the Prometheus data source,
`displayProcessor.ts` and `valueMappings.ts` for what a value looks like.
"""

from __future__ import annotations

import json
import math
import re
import urllib.parse
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exporter.durations import parse_duration
from tests.stack import ask, faster

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).parent.parent
DASHBOARDS: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text())
    for path in sorted((ROOT / "grafana" / "dashboards").glob("*.json"))
}


def panels(uid: str) -> list[dict[str, Any]]:
    """Those that ask something."""
    return [panel for panel in DASHBOARDS[uid]["panels"] if panel["type"] != "row"]


@dataclass(frozen=True)
class Series:
    """One series of an answer: its labels, and what it was worth when (Unix time)."""

    labels: Mapping[str, str]
    samples: tuple[tuple[float, float], ...]

    @property
    def values(self) -> list[float]:
        return [value for _, value in self.samples]


@dataclass(frozen=True)
class Screen:
    """A Grafana that looks at a Prometheus: where, from when to when, with what chosen.

    Attributes:
        hurry: How many times faster than in earnest everything waits there, see `faster`.
        scrape_seconds: `timeInterval` of the data source.
        chosen: Values of variables; () means All.
    """

    prometheus: str
    start: float
    end: float
    hurry: float
    scrape_seconds: float
    chosen: Mapping[str, tuple[str, ...]]

    @cached_property
    def shown_seconds(self) -> int:
        return round(self.end - self.start)

    def step(self, interval: str = "") -> float:
        """Seconds between points; *interval* is the shortest that a panel wants.

        At least seven, as a dashboard has of days that opens with a week: here so little
        time has passed that there would be none.
        """
        wanted = parse_duration(interval) / self.hurry if interval else 0.0
        return max(self.scrape_seconds, min(wanted, self.shown_seconds / 7))

    def promql(self, uid: str, expr: str, interval: str = "") -> str:
        """*expr* with all variables and macros put in."""
        rate = max(self.step(interval) + self.scrape_seconds, 4 * self.scrape_seconds)
        macros = {
            "__rate_interval": f"{rate * 1000:.0f}ms",
            "__interval": f"{self.step(interval) * 1000:.0f}ms",
            "__range": f"{self.shown_seconds}s",
            "__from": f"{self.start * 1000:.0f}",
        }
        # First what is written in the file, so that what is put in is not made shorter too.
        quick = faster({"expr": expr}, self.hurry)["expr"]
        variables = {v["name"]: v for v in DASHBOARDS[uid]["templating"]["list"]}

        def put_in(match: re.Match[str]) -> str:
            name = match[1] or match[2]
            if name in macros:
                return macros[name]
            return self._value(variables[name])

        return re.sub(r"\$(?:\{(\w+)(?::\w+)?\}|([A-Za-z_]\w*))", put_in, quick)

    def _value(self, variable: Mapping[str, Any]) -> str:
        values = self.chosen.get(variable["name"], ())
        if not values:
            return str(variable["allValue"])
        if not variable["multi"] and not variable["includeAll"]:
            return values[0].replace("\\", "\\\\")
        escaped = [re.sub(r"([\\^$*+?.()|\[\]{}])", r"\\\\\1", value) for value in values]
        return escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})"

    def instant(self, expr: str) -> list[Series]:
        found = self._ask("query", query=expr, time=f"{self.end:.3f}")
        return [
            Series(s["metric"], ((float(s["value"][0]), float(s["value"][1])),)) for s in found
        ]

    def ranged(self, expr: str, interval: str = "") -> list[Series]:
        """At the steps of Grafana, which begin at midnight."""
        step = self.step(interval)
        start, end = (math.floor(t / step) * step for t in (self.start, self.end))
        found = self._ask(
            "query_range", query=expr, start=f"{start:.3f}", end=f"{end:.3f}", step=f"{step}"
        )
        return [
            Series(s["metric"], tuple((float(t), float(v)) for t, v in s["values"]))
            for s in found
        ]

    def answer(self, uid: str, panel: Mapping[str, Any], target: Mapping[str, Any]) -> Any:
        """What Prometheus says to a target; HTTP errors are raised."""
        interval = panel.get("interval", "")
        expr = self.promql(uid, target["expr"], interval)
        return self.instant(expr) if target["instant"] else self.ranged(expr, interval)

    def marks(self, uid: str, annotation: Mapping[str, Any]) -> list[Series]:
        return self.ranged(self.promql(uid, annotation["expr"]))

    def label_values(self, uid: str, definition: str) -> list[str]:
        """What a variable can be, sorted as in its list."""
        found = re.fullmatch(r"label_values\((.+), (\w+)\)", definition)
        assert found, definition
        query = urllib.parse.urlencode(
            {
                "match[]": self.promql(uid, found[1]),
                "start": f"{self.start:.3f}",
                "end": f"{self.end:.3f}",
            }
        )
        values: list[str] = ask(f"{self.prometheus}/api/v1/label/{found[2]}/values?{query}")[
            "data"
        ]
        return sorted(values)

    def _ask(self, kind: str, **parameters: str) -> list[dict[str, Any]]:
        url = f"{self.prometheus}/api/v1/{kind}?{urllib.parse.urlencode(parameters)}"
        found: list[dict[str, Any]] = ask(url)["data"]["result"]
        return found


@dataclass(frozen=True)
class Field:
    """A column of a table, a line, a band or a number, as it is drawn.

    Attributes:
        name: What overrides match; a series is called by its legend.
        config: The panel's defaults with the overrides of this field.
        labels: Of the series; empty for a column.
        values: Texts for a column of labels; None where a joined row has none.
    """

    ref: str
    name: str
    config: Mapping[str, Any]
    labels: Mapping[str, str]
    values: tuple[float | str | None, ...]


def legend(series: Series, target: Mapping[str, Any]) -> str:
    """How Grafana calls a series; a number that is alone is called by its ref."""
    text: str = target["legendFormat"]
    if not text:
        return "Value" if not series.labels else json.dumps(dict(series.labels))
    return re.sub(r"\{\{(\w+)\}\}", lambda match: series.labels.get(match[1], ""), text)


def config_of(panel: Mapping[str, Any], name: str, *, is_number: bool) -> dict[str, Any]:
    """What is said of the field *name*: overrides win."""
    found = dict(panel["fieldConfig"]["defaults"])
    for override in panel["fieldConfig"]["overrides"]:
        matcher = override["matcher"]
        matches = {
            "byName": matcher["options"] == name,
            "byType": matcher["options"] == "number" and is_number,
        }[matcher["id"]]
        if matches:
            found |= {prop["id"]: prop["value"] for prop in override["properties"]}
    return found


def table_name(panel: Mapping[str, Any], target: Mapping[str, Any]) -> str:
    """The field of a table that holds the values of a query."""
    return "Value" if len(panel["targets"]) == 1 else f"Value #{target['refId']}"


def fields(panel: Mapping[str, Any], answers: Mapping[str, list[Series]]) -> Iterator[Field]:
    """Everything that *panel* draws of the *answers*, which are by ref."""
    for target in panel["targets"]:
        found = answers[target["refId"]]
        if target["format"] == "table":
            yield from _columns(panel, target, found)
            continue
        for series in found:
            name = legend(series, target)
            config = config_of(panel, name, is_number=True)
            yield Field(target["refId"], name, config, series.labels, tuple(series.values))


def _columns(
    panel: Mapping[str, Any], target: Mapping[str, Any], found: list[Series]
) -> Iterator[Field]:
    kept = shown(panel)
    ref = target["refId"]
    for label in sorted({label for series in found for label in series.labels} & kept):
        texts = tuple(series.labels.get(label) for series in found for _ in series.samples)
        yield Field(ref, label, config_of(panel, label, is_number=False), {}, texts)
    name = table_name(panel, target)
    if name in kept:
        values = tuple(value for series in found for value in series.values)
        yield Field(ref, name, config_of(panel, name, is_number=True), {}, values)


def shown(panel: Mapping[str, Any]) -> set[str]:
    """Fields that a table's transformations let through."""
    for step in panel.get("transformations", ()):
        if step["id"] == "filterFieldsByName":
            return set(step["options"]["include"]["names"])
        if step["id"] == "groupingToMatrix":
            return {step["options"][k] for k in ("rowField", "columnField", "valueField")}
    return set()


def joined_by(panel: Mapping[str, Any]) -> str:
    """The label that makes rows of several queries one; empty where nothing is joined."""
    for step in panel.get("transformations", ()):
        if step["id"] == "joinByField":
            return str(step["options"]["byField"])
    return ""


def mapped(config: Mapping[str, Any], value: float | str | None) -> Mapping[str, Any] | None:
    """What the value mappings make of *value*; None when they do not know it."""
    for mapping in config.get("mappings", ()):
        options = mapping["options"]
        match mapping["type"]:
            case "value":
                if value is not None and written(value) in options:
                    found: dict[str, Any] = options[written(value)]
                    return found
            case "range":
                if isinstance(value, float) and options["from"] <= value <= options["to"]:
                    return dict(options["result"])
            case "special":
                # To `null+nan` every word would belong, which is no number either.
                if options["match"] == "null" and value is None:
                    return dict(options["result"])
    return None


def written(value: float | str) -> str:
    """*value* as JavaScript writes it, which is how mappings know it."""
    if isinstance(value, str):
        return value
    return str(int(value)) if value.is_integer() else repr(value)


def colour(config: Mapping[str, Any], value: float | str | None) -> str:
    """The colour of *value*; of nothing, and of a text, it is that of the lowest step."""
    known = mapped(config, value)
    if known and known.get("color"):
        return str(known["color"])
    if (mode := config.get("color", {})).get("mode") != "thresholds":
        return str(mode.get("fixedColor", "")) if mode.get("mode") == "fixed" else ""
    number = value if isinstance(value, float) else -math.inf
    steps = config["thresholds"]["steps"]
    passed = [s for s in steps if s["value"] is None or s["value"] <= number]
    return str(passed[-1]["color"])


def is_coloured(panel: Mapping[str, Any], config: Mapping[str, Any]) -> bool:
    """Whether a field's colour is seen: cells of tables are plain unless they say so."""
    if panel["type"] == "table":
        return bool(config.get("custom.cellOptions", {"type": "auto"})["type"] != "auto")
    return True
