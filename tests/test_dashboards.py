"""The shipped dashboards: fresh, linted, and in agreement with exporter, rules and alerts.

The rules are those of Grafana's dashboard-linter and a few more; where one of the linter's
does not fit, the test says why. Whether the expressions bring the right answers is tested
elsewhere, on a real Prometheus.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import yaml

from deploy.prometheus.build import GRAFANA, RUNBOOKS
from exporter.advice import FAILURES, FINDINGS
from exporter.catalogue import NAMES
from grafana import build, expressions, fields, frame, model, names, words
from grafana.names import Selectors, UnknownNameError, checked, threshold

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Set as AbstractSet

ROOT = Path(__file__).parent.parent
FILES = sorted((ROOT / "grafana" / "dashboards").glob("*.json"))
DASHBOARDS = {path.stem: json.loads(path.read_text()) for path in FILES}
#: The kinds of panels that every Grafana has, from 10 on; none of them is Angular's.
KINDS = frozenset({"stat", "table", "state-timeline", "timeseries", "heatmap"})
VARIABLES = ("datasource", "job", "instance", "vantage", "issuer")
STATE_COLOURS = {"red", "orange", "green", "yellow"}
#: What Grafana puts in for a variable, and what stands for it in a test.
CHOSEN = {
    "$__rate_interval": "5m",
    "$__range": "6h",
    "$__from": "1700000000000",
    "$job": ".+",
    "$instance": ".+",
    "$vantage": ".*",
    "$issuer": "acme",
}


def panels(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def cases(
    *, kinds: AbstractSet[str] = KINDS, uids: AbstractSet[str] = DASHBOARDS.keys()
) -> list[Any]:
    """Panels of these kinds on these dashboards, with their names as ids."""
    return [
        pytest.param(uid, panel, id=f"{uid}-{panel['title']}")
        for uid in sorted(uids)
        for panel in panels(DASHBOARDS[uid])
        if panel["type"] in kinds
    ]


TARGETS = [
    pytest.param(panel, target, id=f"{uid}-{panel['title']}-{target['refId']}")
    for uid, dashboard in DASHBOARDS.items()
    for panel in panels(dashboard)
    for target in panel["targets"]
]
every_dashboard = pytest.mark.parametrize("uid", DASHBOARDS)
every_panel = pytest.mark.parametrize(("uid", "panel"), cases())
every_table = pytest.mark.parametrize(("uid", "panel"), cases(kinds={"table"}))
every_target = pytest.mark.parametrize(("panel", "target"), TARGETS)


def exprs(dashboard: dict[str, Any]) -> list[str]:
    """All that a dashboard asks, of panels and of annotations."""
    asked = [t["expr"] for panel in panels(dashboard) for t in panel["targets"]]
    return asked + [mark["expr"] for mark in dashboard["annotations"]["list"]]


def found(value: Any, key: str) -> Iterator[Any]:
    """Every value that stands under *key*, however deep."""
    if isinstance(value, dict):
        for name, item in value.items():
            if name == key:
                yield item
            yield from found(item, key)
    elif isinstance(value, list):
        for item in value:
            yield from found(item, key)


def properties(panel: dict[str, Any], name: str) -> list[Any]:
    """What a panel says of *name*, in its defaults and in its overrides."""
    config = panel["fieldConfig"]
    said = [config["defaults"][name]] if name in config["defaults"] else []
    return said + [
        prop["value"]
        for override in config["overrides"]
        for prop in override["properties"]
        if prop["id"] == name
    ]


def links(dashboard: dict[str, Any]) -> list[str]:
    """Where a dashboard leads to: from its head, its cells, its bands and its numbers."""
    cells = [
        link for panel in panels(dashboard) for of in properties(panel, "links") for link in of
    ]
    return [link["url"] for link in [*dashboard["links"], *cells]]


# Files


def test_the_committed_files_are_what_the_generator_writes():
    """Otherwise: make docs."""
    assert build.main(["--check"]) == 0


def test_a_stale_file_is_named(tmp_path):
    assert build.main(["--output", str(tmp_path)]) == 0
    assert build.main(["--output", str(tmp_path), "--check"]) == 0
    (tmp_path / "oidc-slo.json").write_text("{}")

    assert "oidc-slo.json" in str(build.main(["--output", str(tmp_path), "--check"]))


def test_runbooks_may_stand_elsewhere(tmp_path):
    assert build.main(["--output", str(tmp_path), "--runbook-url", "https://wiki/r/"]) == 0
    written = "".join(path.read_text() for path in tmp_path.glob("*.json"))

    assert RUNBOOKS not in written
    assert "https://wiki/r/causes.md#${__value.raw}" in written


def test_there_are_four_and_each_is_called_by_its_uid():
    assert set(DASHBOARDS) == {"oidc-overview", "oidc-issuer", "oidc-slo", "oidc-exporter"}
    assert {d["uid"] for d in DASHBOARDS.values()} == set(DASHBOARDS)


def test_all_of_them_fit_into_a_config_map():
    """Kubernetes takes one MiB; `kubectl apply` keeps a copy of 256 KiB at most of each."""
    sizes = [path.stat().st_size for path in FILES]

    assert sum(sizes) < 1 << 20
    assert max(sizes) < 256 << 10


# Dashboards


@every_dashboard
def test_a_dashboard_is_imported_as_it_is(uid):
    dashboard = DASHBOARDS[uid]

    assert dashboard["schemaVersion"] == 39
    assert (dashboard["id"], dashboard["editable"]) == (None, False)
    assert dashboard["title"].startswith("OIDC / ")
    assert dashboard["tags"] == ["oidc"]
    assert dashboard["description"]
    assert not {"__inputs", "__requires", "__elements"} & set(dashboard)


@every_dashboard
def test_variables_are_those_that_links_carry(uid):
    variables = {v["name"]: v for v in DASHBOARDS[uid]["templating"]["list"]}

    assert tuple(variables) == VARIABLES
    assert variables["datasource"]["label"] == "Data source"
    assert (variables["datasource"]["type"], variables["datasource"]["query"]) == (
        "datasource",
        "prometheus",
    )
    for name in VARIABLES[1:]:
        variable = variables[name]
        assert (variable["type"], variable["label"]) == ("query", name.capitalize())
        assert variable["refresh"] == 2, "filled anew when the time changes"
        assert variable["query"]["query"] == variable["definition"]
        assert checked(re.sub(r"label_values\((.*), \w+\)", r"\1", variable["definition"]))


@every_dashboard
def test_all_means_everything_that_has_the_label(uid):
    """And an exporter without a `vantage` has an empty one."""
    variables = {v["name"]: v for v in DASHBOARDS[uid]["templating"]["list"]}

    for name, every in {"job": ".+", "instance": ".+", "vantage": ".*"}.items():
        assert (variables[name]["multi"], variables[name]["allValue"]) == (True, every)
    if uid == "oidc-issuer":
        assert (variables["issuer"]["multi"], variables["issuer"]["includeAll"]) == (
            False,
            False,
        )
    else:
        assert (variables["issuer"]["multi"], variables["issuer"]["allValue"]) == (True, ".+")


@every_dashboard
def test_a_variable_is_shown_where_it_changes_something_and_only_there(uid):
    """One that is hidden and narrows all the same would keep a secret."""
    dashboard = DASHBOARDS[uid]
    asked = "\n".join(exprs(dashboard))

    for variable in dashboard["templating"]["list"][1:]:
        assert (variable["hide"] == 0) == (f"${variable['name']}" in asked), variable["name"]


@every_dashboard
def test_everything_asks_the_chosen_data_source(uid):
    """No expression, variable or annotation of ours belongs to any other."""
    asking = list(found(DASHBOARDS[uid], "datasource"))

    assert asking
    assert all(s == {"type": "prometheus", "uid": "${datasource}"} for s in asking)


@every_dashboard
def test_panels_have_ids_of_their_own_and_stand_side_by_side(uid):
    placed = DASHBOARDS[uid]["panels"]
    boxes = [(p["title"], p["gridPos"]) for p in placed]

    assert len({panel["id"] for panel in placed}) == len(placed)
    assert all(box["x"] + box["w"] <= 24 and box["w"] > 0 and box["h"] > 0 for _, box in boxes)
    for (one, a), (other, b) in combinations(boxes, 2):
        apart = (
            a["x"] + a["w"] <= b["x"]
            or b["x"] + b["w"] <= a["x"]
            or a["y"] + a["h"] <= b["y"]
            or b["y"] + b["h"] <= a["y"]
        )
        assert apart, (one, other)


@every_dashboard
def test_titles_tell_panels_apart(uid):
    titles = [panel["title"] for panel in panels(DASHBOARDS[uid])]

    assert len(set(titles)) == len(titles)


# Panels


@every_panel
def test_a_panel_says_what_it_shows(uid, panel):
    assert panel["title"]
    assert re.fullmatch(r"[A-Zm].{30,}\.", panel["description"], re.DOTALL), uid


@every_panel
def test_a_panel_has_units(uid, panel):
    units = properties(panel, "unit")

    assert units, uid
    assert all(units)


@every_panel
def test_a_panel_without_data_says_so_in_words(uid, panel):
    """Grafana must never draw a green zero where nobody knows anything."""
    nothing = panel["fieldConfig"]["defaults"]["noValue"]

    assert nothing not in {"", "0"}, uid
    assert nothing == fields.EMPTY or len(nothing) > 3


@every_dashboard
def test_panels_are_of_kinds_that_every_grafana_has(uid):
    assert {panel["type"] for panel in panels(DASHBOARDS[uid])} <= KINDS


@every_panel
def test_a_panel_of_numbers_is_plain_unless_it_tells_a_state(uid, panel):
    """Red, amber and green are for states: thresholds, mappings and limits."""
    colours = {c for look in properties(panel, "color") for c in [look.get("fixedColor")] if c}
    limits = {
        override["matcher"]["options"]
        for override in panel["fieldConfig"]["overrides"]
        if any(prop["id"] == "custom.lineStyle" for prop in override["properties"])
    }

    assert limits or not colours & STATE_COLOURS, uid
    assert panel["fieldConfig"]["defaults"].get("color", {}).get("mode") != "continuous-GrYlRd"


@pytest.mark.parametrize(("uid", "panel"), cases(kinds={"state-timeline"}))
def test_a_timeline_is_painted_by_what_its_values_mean(uid, panel):
    """Grafana merges numbers by thresholds, if it may, before it looks at the mappings."""
    defaults = panel["fieldConfig"]["defaults"]

    assert defaults["color"] == {"mode": "fixed", "fixedColor": "text"}, uid
    for said in painted(defaults["mappings"]):
        assert said.get("color"), said


def painted(mappings: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for mapping in mappings:
        options = mapping["options"]
        yield from options.values() if mapping["type"] == "value" else [options["result"]]


def test_a_timeline_that_no_state_is_told_by_is_neutral():
    for uid, title in (
        ("oidc-issuer", "Keys, by kid"),
        ("oidc-issuer", "Key sets, by vantage"),
        ("oidc-exporter", "Configurations over time"),
    ):
        mappings = panel_of(uid, title)["fieldConfig"]["defaults"]["mappings"]
        assert not {said["color"] for said in painted(mappings)} & STATE_COLOURS


@pytest.mark.parametrize(
    "title", ["HTTP status", "May STS cache it?", "Keys, by kid", "Key sets, by vantage"]
)
def test_a_timeline_of_what_a_broken_issuer_lacks_says_that_nothing_is_known(title):
    """Of no series at all Grafana 10 says that the data lacks a time."""
    panel = panel_of("oidc-issuer", title)
    (target,) = panel["targets"]
    told = re.search(
        r'or on \(\)\nlabel_replace\(vector\((.*?)\) unless .*, "(\w+)", "-"', target["expr"]
    )

    assert told
    assert (told[1], "nothing known") in texts(panel)
    assert f"{{{{{told[2]}}}}}" in target["legendFormat"]


@pytest.mark.parametrize(("uid", "panel"), cases(kinds={"timeseries"}))
def test_a_tick_that_an_axis_leaves_out_has_no_words(uid, panel):
    """Else Grafana 10 writes there what it would say without data."""
    defaults = panel["fieldConfig"]["defaults"]
    (lack,) = defaults["mappings"]

    assert "decimals" not in defaults, uid
    assert (lack["options"]["match"], lack["options"]["result"]["text"]) == ("null", "")


@pytest.mark.parametrize(("uid", "panel"), cases(kinds={"timeseries"}))
def test_a_limit_leads_nowhere(uid, panel):
    """It belongs to no issuer whose dashboard a link could open."""
    for override in panel["fieldConfig"]["overrides"]:
        said = {prop["id"]: prop["value"] for prop in override["properties"]}
        if "custom.lineStyle" in said:
            assert said["links"] == [], uid


@pytest.mark.parametrize(("uid", "panel"), cases(kinds={"stat", "table"}))
def test_what_nobody_knows_is_grey(uid, panel):
    """Else it would have the colour of the lowest threshold, which may be that of all well."""
    config = panel["fieldConfig"]
    said = [config["defaults"]["mappings"]] if panel["type"] == "stat" else []
    for override in config["overrides"]:
        told = {prop["id"]: prop["value"] for prop in override["properties"]}
        if panel["type"] == "table" and "thresholds" in told:
            said.append(told["mappings"])
    for mappings in said:
        # To `null+nan` every word of a cell belongs.
        (lack,) = (m["options"] for m in mappings if m["type"] == "special")
        assert (lack["match"], lack["result"]["color"]) == ("null", words.GREY), uid


@every_table
def test_an_empty_cell_is_a_dash_and_not_the_words_of_an_empty_table(uid, panel):
    if "byType" not in {o["matcher"]["id"] for o in panel["fieldConfig"]["overrides"]}:
        assert all(
            {"id": "noValue", "value": fields.EMPTY} in override["properties"]
            for override in panel["fieldConfig"]["overrides"]
        ), uid


#: A screen of 1600 pixels; what frames, gaps and a scroll bar take of a panel was measured.
GRID_PIXELS, FRAME_PIXELS = 65.67, 26
#: Columns of labels that few alerts have: Grafana leaves them out when none has them.
RARE = {"Vantage", "Exporter", "Team"}


@every_table
def test_all_columns_of_a_table_are_seen_at_once(uid, panel):
    if "groupingToMatrix" in [step["id"] for step in panel["transformations"]]:
        return
    taken = 0
    for override in panel["fieldConfig"]["overrides"]:
        said = {prop["id"]: prop["value"] for prop in override["properties"]}
        wide = said.get("custom.width", said.get("custom.minWidth", 0))
        assert wide >= 50, (uid, said["displayName"], "Grafana makes no column narrower")
        is_rare = panel["title"] == "Firing alerts" and said["displayName"] in RARE
        taken += 0 if is_rare else wide

    assert taken <= GRID_PIXELS * panel["gridPos"]["w"] - FRAME_PIXELS, uid


@every_table
def test_a_table_scrolls_instead_of_spending_rows_on_pages(uid, panel):
    options = panel["options"]

    # From Grafana 12.3 on it stands beside the footer.
    assert not options["footer"]["enablePagination"] | options.get("enablePagination", False), (
        uid
    )
    widths = properties(panel, "custom.width")
    assert len(widths) < len(panel["fieldConfig"]["overrides"]), "one takes what is left"


def test_a_matrix_has_room_for_five_places_beside_the_name():
    panel = panel_of("oidc-overview", "Issuer by vantage")
    place = panel["fieldConfig"]["defaults"]["custom"]["minWidth"]
    (name,) = properties(panel, "custom.minWidth")

    assert name + 5 * place <= GRID_PIXELS * panel["gridPos"]["w"] - FRAME_PIXELS
    (grouping,) = panel["transformations"]
    called = f"{grouping['options']['rowField']}\\{grouping['options']['columnField']}"
    assert called in {o["matcher"]["options"] for o in panel["fieldConfig"]["overrides"]}


@pytest.mark.parametrize("title", ["Keys, by kid", "Key sets, by vantage"])
def test_keys_that_change_by_the_minute_have_room_for_their_names(title):
    """Those of now come first, then those that stayed."""
    panel = panel_of("oidc-issuer", title)
    (target,) = panel["targets"]

    assert re.search(r"topk\(12, max by \([^)]*\) \(1e9 \* .* @ end\(\) or", target["expr"])
    assert (panel["gridPos"]["h"] * 38 - 70) / (model.FEW + 1) > 17


def test_every_band_of_the_states_has_room_for_its_name():
    pixels = panel_of("oidc-overview", "State of the issuers")["gridPos"]["h"] * 38 - 70

    assert pixels / model.PER_PAGE > 19


def test_an_issuer_that_never_works_leaves_room_for_the_others():
    """At -19900 % of its budget, and at 200 times the rate."""
    left = panel_of("oidc-slo", "Error budget left")
    assert re.match(r"clamp_min\(.*, -1\)\n", left["targets"][0]["expr"])
    for panel in panels(DASHBOARDS["oidc-slo"]):
        if panel["title"].startswith("Burn rate"):
            scale = panel["fieldConfig"]["defaults"]["custom"]["scaleDistribution"]
            assert scale == {"type": "log", "log": 10}
            assert panel["targets"][0]["expr"].startswith("clamp_min("), "of zero no logarithm"
    for uid, title in (
        ("oidc-overview", "Worst error budget"),
        ("oidc-overview", "Issuers"),
        ("oidc-issuer", "Error budget left"),
        ("oidc-slo", "Error budgets"),
    ):
        told = [said for of in properties(panel_of(uid, title), "mappings") for said in of]
        assert "spent" in [said["text"] for said in painted(told) if "text" in said], title


@pytest.mark.parametrize(("uid", "panel"), cases(kinds={"timeseries"}))
def test_limits_come_last_in_a_legend_that_is_not_sorted(uid, panel):
    legend = panel["options"]["legend"]
    named = [target["legendFormat"] for target in panel["targets"]]
    limits = [
        override["matcher"]["options"]
        for override in panel["fieldConfig"]["overrides"]
        if any(prop["id"] == "custom.lineStyle" for prop in override["properties"])
    ]

    if "sortBy" not in legend and limits:
        assert named[-len(limits) :] == limits, uid


@every_panel
def test_names_of_queries_are_unique_within_a_panel(uid, panel):
    refs = [target["refId"] for target in panel["targets"]]

    assert refs, uid
    assert len(set(refs)) == len(refs)


@every_table
def test_a_table_keeps_only_columns_that_its_queries_bring(uid, panel):
    targets = panel["targets"]
    brought = {"Value"} if len(targets) == 1 else {f"Value #{t['refId']}" for t in targets}
    # Every alert brings its name and its labels along.
    labels = set(re.findall(r"\w+", " ".join(t["expr"] for t in targets)))
    labels |= {"issuer", "vantage", "instance", "team"} if "ALERTS" in labels else set()

    (first, *_) = panel["transformations"]
    kept = list(found(first, "names")) or [
        [first["options"][k] for k in ("rowField", "columnField", "valueField")]
    ]
    assert set(kept[0]) <= brought | labels, uid


@every_table
def test_a_table_of_several_queries_is_joined_and_asks_for_this_moment(uid, panel):
    kinds = [step["id"] for step in panel["transformations"]]

    assert ("joinByField" in kinds) == (len(panel["targets"]) > 1), uid
    assert all(t["instant"] and t["format"] == "table" for t in panel["targets"])


@every_table
def test_a_table_is_sorted_by_a_column_that_it_has(uid, panel):
    titles = properties(panel, "displayName")

    assert all(by["displayName"] in titles for by in panel["options"]["sortBy"]), uid


@pytest.mark.parametrize(
    ("uid", "panel"),
    cases(kinds={"state-timeline", "timeseries"}, uids={"oidc-overview", "oidc-slo"}),
)
def test_a_graph_of_many_issuers_shows_the_worst_of_them(uid, panel):
    """300 bands or lines are no picture; Grafana 10 does not page timelines either."""
    many = [t for t in panel["targets"] if t["legendFormat"] == "{{issuer}}"]

    assert many, uid
    assert all(re.search(r"and on \(issuer\)\n(top|bottom)k\(25, ", t["expr"]) for t in many)
    assert all("@ end()" in t["expr"] for t in many), "the same issuers at every step"


def test_panels_about_a_place_are_repeated_for_each_place():
    of_issuer = panels(DASHBOARDS["oidc-issuer"])
    repeated = [panel for panel in of_issuer if "$vantage" in panel["title"]]

    assert [panel["title"] for panel in repeated] == [
        "What stopped the probes (vantage: $vantage)",
        "Where the time goes (vantage: $vantage)",
    ]
    assert [panel for panel in of_issuer if panel.get("repeat") == "vantage"] == repeated
    assert all(panel["gridPos"]["w"] == 24 for panel in repeated), "room for all of them"


# Expressions


@every_target
def test_a_target_reads_what_exists(panel, target):
    assert checked(target["expr"]), panel["title"]
    assert names.series_in(target["expr"]) or target["expr"].startswith("vector")


@every_target
def test_a_raw_series_is_narrowed_by_the_chosen_exporters(panel, target):
    """The linter's rule for `job` and `instance`; what is recorded of issuers has neither."""
    for name, matchers in re.findall(r"([\w:]+)(\{[^}]*\})?", target["expr"]):
        if name in NAMES or name in {"up", "scrape_duration_seconds"}:
            for variable in ("job", "instance", "vantage"):
                assert f'${variable}"' in matchers, (panel["title"], name)


@every_target
def test_a_counter_is_only_read_by_its_growth(panel, target):
    """In windows that Grafana fits to step and scrapes, or in all of the time shown."""
    for name in names.series_in(target["expr"]) & NAMES:
        if name.endswith(("_total", "_bucket", "_count", "_sum")):
            grown = re.findall(
                rf"(?:rate|increase)\({name}\{{[^}}]*\}}\[(\$__rate_interval|\$__range)\]\)",
                target["expr"],
            )
            assert len(grown) == target["expr"].count(name), panel["title"]


@every_target
def test_a_rate_has_the_window_that_grafana_fits_to_scrapes(panel, target):
    windows = re.findall(r"rate\([^\[]*\[([^\]]+)\]", target["expr"])

    assert all(window == "$__rate_interval" for window in windows), panel["title"]


@every_target
def test_a_legend_names_labels_that_the_answer_has(panel, target):
    for label in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]):
        assert re.search(rf"\b{label}\b", target["expr"]) or label in {
            *("issuer", "instance", "vantage"),
        }, panel["title"]


def promql(expr: str) -> str:
    for variable, value in CHOSEN.items():
        expr = expr.replace(variable, value)
    return expr


def test_all_expressions_are_promql(tmp_path):
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.fail("promtool is missing: apt-get install prometheus")
    asked = [promql(expr) for dashboard in DASHBOARDS.values() for expr in exprs(dashboard)]
    rules = [{"record": f"dashboard:{n}", "expr": expr} for n, expr in enumerate(asked)]
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboards", "rules": rules}]}))

    result = subprocess.run(
        [promtool, "check", "rules", path], capture_output=True, text=True, check=False
    )

    assert result.returncode == 0, result.stderr
    assert f"{len(asked)} rules found" in result.stdout
    assert not [expr for expr in asked if "$" in expr.replace('"$1"', "")]


# Agreement with exporter, rules and alerts


def steps(panel: dict[str, Any], field: str | None = None) -> list[float]:
    """The bounds of a panel's thresholds, or of those of one of its fields."""
    config = panel["fieldConfig"]
    said = config["defaults"]["thresholds"]
    for override in config["overrides"]:
        if override["matcher"]["options"] == field:
            (said,) = (p["value"] for p in override["properties"] if p["id"] == "thresholds")
    return [step["value"] for step in said["steps"][1:]]


def panel_of(uid: str, title: str) -> dict[str, Any]:
    (wanted,) = (panel for panel in panels(DASHBOARDS[uid]) if panel["title"] == title)
    return wanted


def test_colours_change_where_alerts_do():
    latency = [threshold(f"oidc:threshold:latency_{w}_ratio") for w in ("warning", "critical")]

    assert latency == [0.5, 0.8]
    assert steps(panel_of("oidc-overview", "Issuers"), "Value #p95") == latency
    assert steps(panel_of("oidc-issuer", "p95 of budget")) == latency
    assert steps(panel_of("oidc-issuer", "Certificates"), "Value #days") == [3, 21]
    assert steps(panel_of("oidc-issuer", "Certificates"), "Value #life") == [0.1, 0.25]
    assert steps(panel_of("oidc-slo", "Error budgets"), "Value #1h") == [14.4]


@pytest.mark.parametrize(
    ("uid", "title", "name"),
    [
        ("oidc-overview", "Time against the budget", "oidc:threshold:latency_warning_ratio"),
        ("oidc-overview", "Time against the budget", "oidc:threshold:latency_critical_ratio"),
        ("oidc-slo", "Burn rate over 1h and 5m", "oidc:threshold:burnrate_1h"),
        ("oidc-slo", "Burn rate over 6h and 30m", "oidc:threshold:burnrate_6h"),
        ("oidc-slo", "Burn rate over 1d and 2h", "oidc:threshold:burnrate_1d"),
        ("oidc-slo", "Burn rate over 3d and 6h", "oidc:threshold:burnrate_3d"),
        ("oidc-issuer", "Clock of the issuer", "oidc:threshold:clock_skew_seconds"),
        ("oidc-exporter", "Event loop lag", "oidc:threshold:event_loop_lag_seconds"),
    ],
)
def test_a_limit_is_drawn_from_the_series_that_its_alert_compares_with(uid, title, name):
    """Who tunes a threshold sees the line move, without a new dashboard."""
    panel = panel_of(uid, title)
    (legend,) = (t["legendFormat"] for t in panel["targets"] if t["expr"] == name)

    dashed = [
        override["matcher"]["options"]
        for override in panel["fieldConfig"]["overrides"]
        if any(prop["id"] == "custom.lineStyle" for prop in override["properties"])
    ]
    assert legend in dashed


def test_the_budget_is_drawn_from_the_metric():
    for title in ("Where the time goes (vantage: $vantage)", "Quantiles"):
        (budget,) = (
            t["expr"]
            for t in panel_of("oidc-issuer", title)["targets"]
            if t["legendFormat"] == "budget"
        )

        assert re.fullmatch(r"max\(oidc_probe_budget_seconds\{.*\}\)", budget)


def test_phases_are_stacked_in_the_order_of_time():
    legends = [
        target["legendFormat"]
        for target in panel_of("oidc-issuer", "Where the time goes (vantage: $vantage)")[
            "targets"
        ]
    ]

    order = ("resolve", "connect", "tls", "processing", "transfer")
    expected = [
        f"{document}: {phase}" for document in ("discovery", "key set") for phase in order
    ]
    assert legends == [*expected, "budget"]


@pytest.mark.parametrize(
    ("uid", "title"),
    [
        ("oidc-overview", "Issuers"),
        ("oidc-issuer", "Cause"),
        ("oidc-issuer", "What stopped the probes (vantage: $vantage)"),
    ],
)
def test_a_cause_is_told_in_the_words_of_the_advice(uid, title):
    told = texts(panel_of(uid, title))

    assert {(a.anchor, a.title) for a in FAILURES.values()} <= told


def test_a_finding_is_told_in_the_words_of_the_advice():
    told = texts(panel_of("oidc-issuer", "Findings"))

    assert {(code, advice.title) for code, advice in FINDINGS.items()} <= told


def texts(panel: dict[str, Any]) -> set[tuple[str, str]]:
    """What a panel says instead of which value."""
    return {
        (value, said["text"])
        for mappings in properties(panel, "mappings")
        for mapping in mappings
        if mapping["type"] == "value"
        for value, said in mapping["options"].items()
    }


def test_what_to_do_about_a_cause_is_one_click_away():
    page = (ROOT / "docs" / "runbooks" / "causes.md").read_text()

    for uid, title in (("oidc-overview", "Issuers"), ("oidc-issuer", "Cause")):
        urls = [link["url"] for of in properties(panel_of(uid, title), "links") for link in of]
        assert f"{RUNBOOKS}/causes.md#${{__value.raw}}" in urls
    assert all(f'id="{advice.anchor}"' in page for advice in FAILURES.values())
    assert all(f'id="finding-{code}"' in page for code in FINDINGS)


# Links


@every_dashboard
def test_a_dashboard_leads_to_the_other_three_with_time_and_variables(uid):
    led = {link["url"].partition("?")[0]: link for link in DASHBOARDS[uid]["links"]}
    others = {f"/d/{other}" for other in DASHBOARDS if other != uid}

    assert others <= set(led)
    for url in others:
        assert led[url]["keepTime"]
        carried = "${vantage:queryparam}" in led[url]["url"] or led[url]["includeVars"]
        assert carried, url


@every_dashboard
def test_all_issuers_are_never_sent_to_where_there_is_room_for_one(uid):
    for link in DASHBOARDS[uid]["links"]:
        if link["url"].startswith("/d/oidc-issuer"):
            assert not link["includeVars"]
            assert "issuer:queryparam" not in link["url"]


@every_dashboard
def test_a_link_ends_at_a_dashboard_and_variables_that_exist(uid):
    for url in links(DASHBOARDS[uid]):
        if url.startswith("/d/"):
            target = urlsplit(url).path.removeprefix("/d/")
            assert target in DASHBOARDS
            named = re.findall(r"var-(\w+)=", url)
            carried = re.findall(r"\$\{(\w+):queryparam\}", url)
            assert set(named + carried) <= set(VARIABLES)
            assert len(set(named + carried)) == len(named + carried), "a variable given twice"


@every_dashboard
def test_a_link_of_a_cell_keeps_time_and_data_source(uid):
    cells = [
        link["url"]
        for panel in panels(DASHBOARDS[uid])
        for of in properties(panel, "links")
        for link in of
        if link["url"].startswith("/d/")
    ]

    assert all(url.endswith("&${__url_time_range}") for url in cells)
    assert all("${datasource:queryparam}" in url for url in cells)


@every_dashboard
def test_a_link_to_a_page_ends_at_a_file(uid):
    for url in links(DASHBOARDS[uid]):
        if url.startswith(RUNBOOKS):
            page = url.removeprefix(f"{RUNBOOKS}/").partition("#")[0]
            # A table of alerts leads to the page that is called after the alert.
            if page != "${__value.raw}.md":
                assert (ROOT / "docs" / "runbooks" / page).is_file()
        else:
            assert url.startswith("/d/")


def alert_urls() -> list[str]:
    rules = yaml.safe_load((ROOT / "deploy/prometheus/rules/oidc-alerts.yaml").read_text())
    return sorted(
        {
            rule["annotations"]["dashboard_url"]
            for group in rules["groups"]
            for rule in group["rules"]
        }
    )


@pytest.mark.parametrize("url", alert_urls())
def test_the_link_of_an_alert_ends_at_a_dashboard_that_shows_its_labels(url):
    parts = urlsplit(re.sub(r"\{\{.*?\}\}", "x", url))
    uid = parts.path.removeprefix("/d/")

    assert url.startswith(f"{GRAFANA}/d/")
    variables = {v["name"]: v for v in DASHBOARDS[uid]["templating"]["list"]}
    for name, _ in parse_qsl(parts.query):
        assert variables[name.removeprefix("var-")]["hide"] == 0


def test_exceptions_from_the_linter_have_reasons_and_are_about_panels_that_exist():
    exceptions = yaml.safe_load((FILES[0].parent / ".lint").read_text())["exclusions"]

    assert set(exceptions) == {"target-job-rule", "target-instance-rule", "panel-units-rule"}
    assert all(exception["reason"] for exception in exceptions.values())
    titles = {d["title"]: [p["title"] for p in panels(d)] for d in DASHBOARDS.values()}
    for entry in exceptions["panel-units-rule"]["entries"]:
        assert entry["panel"] in titles[entry["dashboard"]]


# Annotations


@every_dashboard
def test_marks_are_those_that_explain_a_graph(uid):
    marks = {mark["name"]: mark for mark in DASHBOARDS[uid]["annotations"]["list"]}

    assert marks["Pages"]["enable"]
    # Where it began, and no region: several would hide the graph. Many issuers are one mark.
    assert marks["Pages"]["useValueForTime"]
    assert "issuer" not in re.findall(r"by \(([^)]*)\)", marks["Pages"]["expr"])[0]
    assert 'alertstate="firing"' in marks["Pages"]["expr"]
    if uid != "oidc-slo":
        assert {"Configuration reloads", "Restarts"} <= set(marks)
    if uid in {"oidc-issuer", "oidc-overview"}:
        assert "Key rotations" in marks


@every_dashboard
def test_a_mark_reads_what_exists_and_stands_where_its_value_says(uid):
    for mark in DASHBOARDS[uid]["annotations"]["list"]:
        assert checked(mark["expr"])
        # Grafana counts in milliseconds, and what was before the shown time is left out.
        in_time = mark["expr"].startswith("1000 * ") and mark["expr"].endswith("> $__from")
        assert mark["useValueForTime"] == in_time


# Provisioning


def provisioning(path: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(
        (ROOT / "grafana" / "provisioning" / path).read_text()
    )
    return found


def test_the_data_source_has_a_fixed_uid_and_the_interval_of_the_scrapes():
    (source,) = provisioning("datasources/prometheus.yaml")["datasources"]
    scrapes = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yaml").read_text())

    assert (source["type"], source["uid"]) == ("prometheus", "oidc-prometheus")
    assert source["jsonData"]["timeInterval"] == scrapes["global"]["scrape_interval"]


def test_dashboards_come_from_files_into_a_folder_and_stay_as_they_are():
    (provider,) = provisioning("dashboards/oidc.yaml")["providers"]

    assert (provider["folder"], provider["allowUiUpdates"]) == ("OIDC", False)
    assert provider["options"]["path"].startswith("/")


# The generator


@pytest.mark.parametrize(
    ("expr", "complaint"),
    [
        (
            "oidc_probe_sucess",
            "nobody knows oidc_probe_sucess; did you mean oidc_probe_success?",
        ),
        ("issuer:oidc_usable:boolean", "did you mean issuer:oidc_usable:bool?"),
        ("sum by (issuer) (rate(oidc_probe_total[5m]))", "nobody knows oidc_probe_total"),
        ('oidc_cacheable{dokument="jwks"}', "label dokument of oidc_cacheable"),
        ('oidc_probe_failure_info{stage=~"dns|http3"}', 'stage="http3"'),
        ('oidc_fetch_phase_duration_seconds{phase="first-byte"}', 'phase="first-byte"'),
    ],
)
def test_what_nobody_knows_stops_the_build(expr, complaint):
    with pytest.raises(UnknownNameError, match=re.escape(complaint)):
        checked(expr)


def test_a_renamed_metric_stops_the_build(monkeypatch):
    monkeypatch.setattr(names, "KNOWN", names.KNOWN - {"oidc_jwks_key_info"})

    with pytest.raises(UnknownNameError, match="oidc_jwks_key_info"):
        list(build.dashboards())


@pytest.mark.parametrize(
    ("expr", "series"),
    [
        ("up", {"up"}),
        ("sum(up) by (job)", {"up"}),
        ('label_replace(up{job="a"}, "vantage", "b", "vantage", "")', {"up"}),
        (
            "avg_over_time(issuer:oidc_usable:bool[$__range] @ end())",
            {"issuer:oidc_usable:bool"},
        ),
        ("topk by (issuer) (1, up) or on () vector(0)", {"up"}),
        ("1000 * up > $__from and 2e3 < 1", {"up"}),
        ("up == bool 1 unless ignoring (le) ALERTS offset 5m", {"up", "ALERTS"}),
    ],
)
def test_series_are_found_in_an_expression(expr, series):
    assert names.series_in(expr) == series


@pytest.mark.parametrize(
    ("name", "selector"),
    [
        (
            "oidc_probes_total",
            'oidc_probes_total{job=~"$job",instance=~"$instance",vantage=~"$vantage",issuer=~"$issuer"}',
        ),
        ("issuer:oidc_usable:bool", 'issuer:oidc_usable:bool{issuer=~"$issuer"}'),
        (
            "issuer_vantage:oidc_usable:bool",
            'issuer_vantage:oidc_usable:bool{issuer=~"$issuer",vantage=~"$vantage"}',
        ),
        ("vantage:oidc_issuers:count", 'vantage:oidc_issuers:count{vantage=~"$vantage"}'),
        (
            "instance:oidc_exporter:up",
            'instance:oidc_exporter:up{job=~"$job",instance=~"$instance",vantage=~"$vantage"}',
        ),
        ("oidc:objective:ratio", "oidc:objective:ratio"),
    ],
)
def test_a_selector_is_narrowed_by_the_variables_that_are_its_labels(name, selector):
    assert Selectors()(name) == selector


def test_one_issuer_is_matched_to_the_letter():
    """A dot in a name must not stand for any character."""
    of = Selectors(issuer='="$issuer"')

    assert of("issuer:oidc_usable:bool") == 'issuer:oidc_usable:bool{issuer="$issuer"}'


def test_issuers_are_left_alone_where_they_are_not_chosen_among():
    assert "issuer" not in Selectors(issuer="")("oidc_probes_total")


def test_a_selector_of_an_unknown_series_is_refused():
    with pytest.raises(UnknownNameError, match="oidc_nothing"):
        Selectors()("oidc_nothing")


def test_the_issuer_dashboard_matches_its_issuer_to_the_letter():
    asked = "\n".join(exprs(DASHBOARDS["oidc-issuer"]))

    assert 'issuer="$issuer"' in asked
    assert 'issuer=~"$issuer"' not in asked


def test_a_threshold_is_read_from_the_rules():
    assert threshold("oidc:threshold:certificate_warning_seconds") == 21 * 86400
    with pytest.raises(UnknownNameError, match="oidc:threshold:nothing"):
        threshold("oidc:threshold:nothing")
    with pytest.raises(TypeError, match="no constant"):
        threshold("issuer_vantage:oidc_usable:bool")


def test_states_are_ordered_from_the_worst_to_the_best():
    told = [
        (said["index"], value, said["text"])
        for value, said in words.STATE[0]["options"].items()
    ]

    assert sorted(told) == [
        (0, "0", "unusable"),
        (1, "1", "no fresh result"),
        (2, "2", "degraded"),
        (3, "3", "good"),
    ]


def test_zero_is_only_said_where_something_was_counted():
    assert expressions.counted("a == 0", "a") == "count(a == 0) or 0 * count(a)"


def test_panels_flow_like_words():
    panel = {"title": "t", "gridPos": {"w": 10, "h": 4}}
    tall = {"title": "t", "gridPos": {"w": 14, "h": 6}}
    made = frame.dashboard(
        "u", "t", "d", [tall, panel, panel, model.row("r")], variables=[], annotations=[], to=[]
    )

    places = [(p["gridPos"]["x"], p["gridPos"]["y"]) for p in made["panels"]]
    assert places == [(0, 0), (14, 0), (0, 6), (0, 10)]
    assert [panel["id"] for panel in made["panels"]] == [1, 2, 3, 4]


# The page about them


@every_dashboard
def test_the_page_says_what_every_panel_answers(uid):
    page = build.PAGE.read_text()
    (table,) = re.findall(rf"<!-- BEGIN {uid} -->(.*?)<!-- END {uid} -->", page, re.DOTALL)

    for panel in panels(DASHBOARDS[uid]):
        assert f"| {panel['description']} |" in table
    assert DASHBOARDS[uid]["description"] in table


def test_a_stale_page_is_named(monkeypatch, tmp_path):
    page = tmp_path / "dashboards.md"
    page.write_text("<!-- BEGIN oidc-slo -->\n<!-- END oidc-slo -->\n")
    monkeypatch.setattr(build, "PAGE", page)

    assert "dashboards.md" in str(build.main(["--check"]))
