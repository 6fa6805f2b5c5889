"""Every question of every dashboard, put to a real Prometheus with the shipped rules.

It scrapes real daemons in three places, which probe the demo's issuers, good and bad. What
comes back is held against what the panel says of it: labels, columns, units, words, colours.
Beside it another Prometheus scrapes one of the daemons alone, as who has one exporter does.
"""

from __future__ import annotations

import json
import math
import re
import signal
import socket
import time
from collections import Counter
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from exporter.demo import Running, issuers
from exporter.demo.catalogue import ISSUERS
from exporter.demo.programs import free_address, prometheus
from exporter.demo.sites import _jwk
from exporter.durations import parse_duration
from exporter.reasons import Stage
from grafana.words import NOTHING
from tests.authority import server_context
from tests.daemon import Daemon, daemon
from tests.panels import (
    DASHBOARDS,
    Field,
    Screen,
    Series,
    colour,
    config_of,
    fields,
    is_coloured,
    joined_by,
    legend,
    mapped,
    panels,
    shown,
    table_name,
)
from tests.probing import DISCOVERY_PATH, KEYS, URL, discovery
from tests.servers import Farm, http, routed
from tests.stack import faster, running, tool, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

#: What is looked at: good issuers; one of each kind at a bad moment, of which the first
#: shows all of the other dashboards too; exporters that are all dead, and that never lived.
PORTRAITS = ("expired", "keycloak", "throttled", "six-seconds", "hasty")
CASES = ("healthy", *PORTRAITS, "silent", "two vantages", "lonely", "empty", "dark")
#: A minute lasts three seconds.
FACTOR = 20.0
PROMETHEUS = Path(__file__).parent.parent / "deploy" / "prometheus"
#: Those of the demo that fail for another reason than their time.
UNUSABLE = [issuer for issuer in ISSUERS if issuer.stage not in {None, Stage.BUDGET}]
VANTAGES = ("eu-central-1", "us-east-1", "ap-southeast-2")
#: Issuers that nothing can be said against.
GOOD = ("github-actions", "google", "gitlab", "eks", "spire")
#: Configured and never probed: its first probe comes within the next hours.
SILENT = "silent"
#: Fails from one vantage only.
CUT_OFF = "spire"
#: Changes all of its keys at once, when the others break.
HASTY = "hasty"


#: Dashboard, title of the panel, ref of the target.
Asked = tuple[str, str, str]


@dataclass(frozen=True)
class Case:
    """A moment, seen through one choice of the variables, with all that was answered.

    Attributes:
        answers: By dashboard, title of the panel and ref of the target.
        marks: By dashboard and name of the annotation.
    """

    name: str
    screens: Mapping[str, Screen]
    answers: dict[Asked, list[Series]]
    marks: dict[tuple[str, str], list[Series]]

    def of(self, uid: str, panel: dict[str, Any]) -> dict[str, list[Series]]:
        """Answers for one panel, by ref."""
        return {
            target["refId"]: self.answers[uid, panel["title"], target["refId"]]
            for target in panel["targets"]
        }

    @property
    def asked(self) -> dict[Asked, list[Series]]:
        """All answers; those to annotations have the ref `mark`."""
        return self.answers | {(*key, "mark"): found for key, found in self.marks.items()}

    def drawn(self) -> Iterator[tuple[str, dict[str, Any], Field]]:
        for uid in DASHBOARDS:
            for panel in panels(uid):
                for field in fields(panel, self.of(uid, panel)):
                    yield uid, panel, field


def look(name: str, screen: Screen, issuer: str, *, only: bool = False) -> Case:
    """Ask everything about *issuer* and, unless *only* that one is chosen, about all.

    An expression that Prometheus refuses raises.
    """
    chosen = replace(screen, chosen={**screen.chosen, "issuer": (issuer,)})
    screens = {uid: chosen if only or uid == "oidc-issuer" else screen for uid in DASHBOARDS}
    return Case(
        name=name,
        screens=screens,
        answers={
            (uid, panel["title"], target["refId"]): screens[uid].answer(uid, panel, target)
            for uid in DASHBOARDS
            for panel in panels(uid)
            for target in panel["targets"]
        },
        marks={
            (uid, mark["name"]): screens[uid].marks(uid, mark)
            for uid, dashboard in DASHBOARDS.items()
            for mark in dashboard["annotations"]["list"]
        },
    )


# The world


@contextmanager
def scraping(
    folder: Path, targets: dict[str, str], *, is_labelled: bool = True
) -> Iterator[str]:
    """Prometheus with the shipped rules, faster, on *targets* by vantage; yields its URL."""
    shipped = yaml.safe_load((PROMETHEUS / "prometheus-vantages.yaml").read_text())
    (job,) = shipped["scrape_configs"]
    folder.mkdir()
    for path in PROMETHEUS.glob("rules/oidc-*.yaml"):
        rules = faster(yaml.safe_load(path.read_text()), FACTOR)
        (folder / path.name).write_text(json.dumps(rules))
    groups = [
        {"targets": [address], "labels": {"vantage": vantage} if is_labelled else {}}
        for vantage, address in targets.items()
    ]
    kept = {key: job[key] for key in ("job_name", "metric_relabel_configs")}
    config = {
        "global": faster(shipped["global"], FACTOR),
        "rule_files": [f"{folder}/oidc-*.yaml"],
        "scrape_configs": [kept | {"static_configs": groups}],
    }
    with running(folder, prometheus(folder, config, free_address())) as url:
        yield url


@dataclass
class World:
    """All that runs; it can be broken, and put out.

    Attributes:
        prometheus, lonely, empty: URLs: one scrapes all daemons, one a single daemon and
            knows no vantages, one only an exporter that never answers.
        began: Unix time before anything ran.
    """

    place: Running
    folder: Path
    daemons: dict[str, Daemon]
    prometheus: str
    lonely: str
    empty: str
    hasty: Hasty
    closed: int
    began: float

    def write(self, vantage: str, names: set[str]) -> Path:
        """Write what the exporter of *vantage* probes; a whole catalogue is cut off."""
        entries = yaml.safe_load(self.place.config(f"{60 / FACTOR:g}s"))
        chosen = [entry for entry in entries["issuers"] if entry["name"] in names]
        for entry in chosen:
            entry["labels"] = {"team": "identity"}
            if entry["name"] in {"slow", "six-seconds", "three-and-three"}:
                # In earnest a probe fits into its interval, too.
                entry |= {"interval": "9s", "interval_failing": "9s"}
            if (entry["name"], vantage) == (CUT_OFF, VANTAGES[1]) and SILENT in names:
                entry["connect_to"] = f"127.0.0.1:{self.closed}"
        if SILENT in names:
            url = f"https://{SILENT}.demo.example"
            chosen.append({"url": url, "name": SILENT, "interval": "1d"})
        chosen.append({"url": URL, "name": HASTY, **self.hasty.entry})
        path = self.folder / vantage / "config.yaml"
        path.write_text(yaml.safe_dump(entries | {"vantage": vantage, "issuers": chosen}))
        return path

    def ruin(self) -> None:
        """All issuers of the catalogue, one place cut off from one, one exporter dead."""
        self.hasty.rotate()
        self.daemons[VANTAGES[2]].stop()
        for vantage in VANTAGES[:2]:
            self.write(vantage, {*(issuer.name for issuer in ISSUERS), SILENT})
            self.daemons[vantage].signal(signal.SIGHUP)

    def end(self) -> None:
        for vantage in VANTAGES[:2]:
            self.daemons[vantage].stop()

    def count(self, query: str, prometheus: str = "") -> int:
        return len(self.screen(prometheus).instant(query))

    def screen(self, prometheus: str = "", **chosen: tuple[str, ...]) -> Screen:
        return Screen(
            prometheus=prometheus or self.prometheus,
            start=self.began,
            end=time.time(),
            hurry=FACTOR,
            scrape_seconds=parse_duration("30s") / FACTOR,
            chosen=chosen,
        )


class Hasty:
    """An issuer that brings its new key when it takes the old one away."""

    def __init__(self, farm: Farm, pki: Path) -> None:
        self._routes: dict[str, Any] = {DISCOVERY_PATH: http(discovery()), "/jwks": http(KEYS)}
        port = farm.serve(routed(self._routes), server_context(pki))
        self.entry = {"connect_to": f"127.0.0.1:{port}", "ca_file": str(pki / "root.pem")}

    def rotate(self) -> None:
        self._routes["/jwks"] = http(json.dumps({"keys": [_jwk(HASTY, 1)]}))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, pki: Path) -> Iterator[World]:
    tool("prometheus", "prometheus")
    folder = tmp_path_factory.mktemp("world")
    began = time.time()
    with ExitStack() as stack:
        farm = Farm()
        stack.callback(farm.close)
        # Bound and not listened on: whoever dials it is refused.
        closed = stack.enter_context(socket.socket())
        closed.bind(("127.0.0.1", 0))
        made = World(
            place=stack.enter_context(issuers()),
            folder=folder,
            daemons={},
            prometheus="",
            lonely="",
            empty="",
            hasty=Hasty(farm, pki),
            closed=closed.getsockname()[1],
            began=began,
        )
        for vantage in VANTAGES:
            (folder / vantage).mkdir()
            config = made.write(vantage, set(GOOD))
            made.daemons[vantage] = stack.enter_context(daemon(folder / vantage, config))
        addresses = {v: one.base.removeprefix("http://") for v, one in made.daemons.items()}
        first = dict([*addresses.items()][:1])
        nobody = {"nowhere": f"127.0.0.1:{made.closed}"}
        made.prometheus = stack.enter_context(scraping(folder / "all", addresses))
        made.lonely = stack.enter_context(scraping(folder / "lonely", first, is_labelled=False))
        made.empty = stack.enter_context(scraping(folder / "empty", nobody))
        yield made


@dataclass(frozen=True)
class Moments:
    """What was seen, in the order in which it came."""

    cases: dict[str, Case]
    variables: dict[str, dict[str, dict[str, list[str]]]]
    thresholds: dict[str, float]


@pytest.fixture(scope="module")
def moments(world: World) -> Moments:
    wait(world, "a good beginning", lambda: is_well(world))
    cases = [look("healthy", world.screen(), "google")]
    variables = {"healthy": known(world.screen())}

    world.ruin()
    wait(world, "what breaks", lambda: is_broken(world))
    broken = world.screen()
    cases += [look(name, broken, name) for name in PORTRAITS]
    cases.append(look(SILENT, broken, SILENT, only=True))
    two = replace(broken, chosen={"vantage": VANTAGES[:2]})
    cases.append(look("two vantages", two, CUT_OFF, only=True))
    alone, empty = world.screen(world.lonely), world.screen(world.empty)
    cases += [look("lonely", alone, "google"), look("empty", empty, "google")]
    variables |= {"broken": known(broken), "lonely": known(alone)}
    thresholds = {
        series.labels["__name__"]: series.values[0]
        for series in broken.instant('{__name__=~"oidc:(threshold|objective).+"}')
    }

    world.end()
    wait(world, "the end", lambda: is_dark(world))
    cases.append(look("dark", world.screen(), "google"))
    return Moments({case.name: case for case in cases}, variables, thresholds)


def wait(world: World, what: str, come: Callable[[], bool]) -> None:
    log = world.daemons[VANTAGES[0]].log_file
    assert until(come, 60), f"{what} did not come; {log.read_text()[-2000:]}"


def firing(world: World, alert: str, prometheus: str = "") -> int:
    # A step ago: then it is in the last step of a graph as well.
    query = f'ALERTS{{alertname="{alert}",alertstate="firing"}} offset 2s'
    return world.count(query, prometheus)


def is_well(world: World) -> bool:
    """Every place has told of everything, and so often that rates have a window."""
    number = len(GOOD) + 1
    buckets = 'oidc_probe_latency_seconds_bucket{issuer="google"}'
    half = f"histogram_quantile(0.5, sum by (le) (rate({buckets}[5s] offset 5s)))"
    return (
        world.count("issuer_vantage:oidc_usable:bool == 1") == number * len(VANTAGES)
        and world.count("issuer:oidc_error_budget:left_ratio30d offset 2s") == number
        and world.count("count_over_time(up[5s]) > 2") == len(VANTAGES)
        # In the last step of a graph of wide steps as well.
        and world.count(f"{half} > 0") == 1
    )


def is_broken(world: World) -> bool:
    """Every issuer that ever ends a probe is known, and what is broken for long rings."""
    number = len(ISSUERS) + 1
    return (
        world.count("issuer:oidc_usable:bool") == number
        and world.count("issuer:oidc_error_budget:left_ratio30d offset 2s") == number
        and firing(world, "OIDCIssuerUnusable") == len(UNUSABLE)
        and firing(world, "OIDCIssuerUnusable", world.lonely) == len(UNUSABLE)
        and firing(world, "OIDCIssuerOverBudget") == 2
        and firing(world, "OIDCIssuerFailsFromVantage") == 1
        and firing(world, "OIDCKeyRemovedWithoutOverlap") == 1
        and firing(world, "OIDCExporterDown") == 1
        and firing(world, "OIDCExporterAllDown", world.empty) == 1
        and world.count("oidc_jwks_change_timestamp_seconds offset 2s") > 0
    )


def is_dark(world: World) -> bool:
    """Nothing is left but what remembers: budgets of long windows, and who should be up."""
    told = "oidc_.+|(instance|issuer|issuer_vantage|vantage):.+"
    remembered = (
        "issuer:oidc_(usable:ratio|error_budget:).+|issuer:oidc_outage:recent|"
        "instance:oidc_exporter:up"
    )
    return world.count(f'{{__name__=~"{told}", __name__!~"{remembered}"}}') == 0


def known(screen: Screen) -> dict[str, dict[str, list[str]]]:
    """What every variable of every dashboard can be."""
    return {
        uid: {
            variable["name"]: screen.label_values(uid, variable["definition"])
            for variable in dashboard["templating"]["list"]
            if variable["type"] == "query"
        }
        for uid, dashboard in DASHBOARDS.items()
    }


@pytest.fixture
def case(moments: Moments, request: pytest.FixtureRequest) -> Case:
    return moments.cases[request.param]


every_case = pytest.mark.parametrize("case", CASES, indirect=True)


# Who answers


@dataclass(frozen=True)
class Gap:
    """Questions that have no answer in some cases, and why that is right."""

    why: str
    cases: tuple[str, ...]
    uid: str
    refs: dict[str, str]

    def asked(self) -> Iterator[Asked]:
        for title, refs in self.refs.items():
            for ref in refs.split(", "):
                yield self.uid, title, ref


WELL = ("healthy", "keycloak", "lonely")
PHASES = "Where the time goes (vantage: $vantage)"
#: Cases in which somebody knows something.
KNOWING = ("healthy", *PORTRAITS, "two vantages", "lonely")


def all_but(*names: str) -> tuple[str, ...]:
    return tuple(name for name in KNOWING if name not in names)


GAPS = [
    Gap(
        "it never was good",
        ("expired", "throttled", "six-seconds"),
        "oidc-issuer",
        {"Last good probe": "A"},
    ),
    Gap("it is well", WELL, "oidc-issuer", {"Firing alerts": "A"}),
    Gap(
        "nobody is paged for it",
        (*WELL, "hasty", "two vantages"),
        "oidc-issuer",
        {"Pages": "mark"},
    ),
    Gap("nobody has so many keys", KNOWING, "oidc-issuer", {"Number of keys": "limit"}),
    Gap(
        "its keys stay",
        all_but("hasty"),
        "oidc-issuer",
        {"Last change": "A", "Key rotations": "mark"},
    ),
    Gap(
        "it fails for another reason than its time",
        ("expired", "throttled"),
        "oidc-issuer",
        {"p95 of budget": "A", "p95 of the budget, by vantage": "A"},
    ),
    Gap(
        "nothing was asked over a connection that is not trusted",
        ("expired",),
        "oidc-issuer",
        {
            "Findings": "A",
            PHASES: "discovery processing, discovery transfer",
        },
    ),
    Gap(
        "no key set was fetched",
        ("expired", "throttled"),
        "oidc-issuer",
        {
            PHASES: "jwks processing, jwks transfer",
            "Number of keys": "published, usable",
            "Withdrawn too early": "A",
            "Size of the documents": "A",
        },
    ),
    Gap(
        "both documents come over one connection",
        all_but("healthy", "lonely"),
        "oidc-issuer",
        {PHASES: "jwks resolve, jwks connect, jwks tls"},
    ),
    Gap(
        "it is dialled by its address", ("hasty",), "oidc-issuer", {PHASES: "discovery resolve"}
    ),
    Gap(
        "it sends no max-age with its key set, or no key set",
        ("expired", "keycloak", "throttled", "hasty", "two vantages"),
        "oidc-issuer",
        {"How long the key set may be kept": "shortest, longest"},
    ),
    Gap(
        "it sends no directive, or no document",
        ("expired", "throttled", "hasty", "two vantages"),
        "oidc-issuer",
        {"Directives": "A"},
    ),
    Gap(
        "it sends no Date, or no document",
        ("expired", "throttled", "hasty"),
        "oidc-issuer",
        {"Clock of the issuer": "A"},
    ),
    Gap(
        "all is well",
        ("healthy",),
        "oidc-overview",
        {"Issuers": "cause, since, alerts", "Firing alerts": "A"},
    ),
    Gap("what fails there never was good", ("lonely",), "oidc-overview", {"Issuers": "since"}),
    *(
        Gap("nobody is paged", ("healthy", "two vantages"), uid, {"Pages": "mark"})
        for uid in ("oidc-overview", "oidc-slo")
    ),
    Gap(
        "the chosen ones keep their keys",
        ("healthy", "two vantages"),
        "oidc-overview",
        {"Key rotations": "mark"},
    ),
    Gap("not all exporters are down", KNOWING, "oidc-exporter", {"Pages": "mark"}),
]
#: What depends on when a test runs.
CHANCE = {
    # Their steps are full hours and days (here: some minutes), whose ends may or may not lie
    # in the test.
    ("oidc-slo", "Watched", "A"),
    ("oidc-slo", "Bad minutes a day", "A"),
}


@pytest.mark.parametrize("case", KNOWING, indirect=True)
def test_what_is_asked_is_answered_unless_there_is_a_reason(case):
    """To the letter: a gap that is none any more must go from the list."""
    silent = {asked for asked, found in case.asked.items() if not found}
    expected = {asked for gap in GAPS if case.name in gap.cases for asked in gap.asked()}

    assert sorted(silent - CHANCE) == sorted(expected)


# What is said nevertheless where nobody knows anything: of an issuer that was never probed,
# by a Prometheus whose exporter never answered, and after all exporters have gone.
TOLD = {
    "silent": {
        "oidc-issuer": {"Verdict", "URL"},
        # Vantages and alerts are told of whatever issuers are chosen.
        "oidc-overview": {
            *("Without a fresh result", "Issuers", "Vantages", "Alerts", "Firing alerts"),
        },
        "oidc-slo": {"Objective", "Error budget of 30 days"},
    },
    "empty": {
        "oidc-exporter": {"Up and down", "Exporters"},
        "oidc-issuer": set(),
        "oidc-overview": {"Vantages", "Alerts", "Firing alerts"},
        "oidc-slo": {"Objective", "Error budget of 30 days"},
    },
    "dark": {
        "oidc-exporter": {"Up and down", "Exporters"},
        # Of 30 days, and of the time that is shown, in which somebody knew something.
        "oidc-issuer": {"Error budget left", "Withdrawn too early"},
        "oidc-overview": {
            "Worst error budget",
            "Vantages",
            "Alerts",
            "Issuers",
            "Firing alerts",
        },
        "oidc-slo": {
            "Objective",
            "Error budget of 30 days",
            "Objective missed",
            "Error budgets",
        },
    },
}


@pytest.mark.parametrize(
    ("case", "uid"),
    [(name, uid) for name, said in TOLD.items() for uid in said],
    indirect=["case"],
)
def test_nobody_says_more_than_is_known(case, uid):
    told = {
        panel["title"]
        for panel in panels(uid)
        if panel["type"] in {"stat", "table"} and any(case.of(uid, panel).values())
    }

    assert told - {"Watched"} == TOLD[case.name][uid]


# What is answered


@every_case
def test_values_are_numbers(case):
    """A quantile of nothing is none, and leaves a hole in its line."""
    expressions = {
        (uid, panel["title"], target["refId"]): target["expr"]
        for uid in DASHBOARDS
        for panel in panels(uid)
        for target in panel["targets"]
    }
    for asked, found in case.answers.items():
        values = [value for series in found for value in series.values]
        assert not any(map(math.isinf, values)), asked
        if not expressions[asked].startswith("histogram_quantile"):
            assert not any(map(math.isnan, values)), asked


@every_case
def test_a_screen_can_hold_what_comes(case):
    """There are more issuers in this world than a graph shows."""
    most = {"stat": 1, "table": 100, "heatmap": 20, "state-timeline": 25, "timeseries": 25}

    for uid in DASHBOARDS:
        for panel in panels(uid):
            for ref, found in case.of(uid, panel).items():
                assert len(found) <= most[panel["type"]], (uid, panel["title"], ref)


@every_case
def test_a_legend_names_labels_that_come(case):
    is_without_vantages = case.name in {"lonely", "empty"}
    for uid in DASHBOARDS:
        for panel in panels(uid):
            for target in panel["targets"]:
                wanted = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
                for series in case.of(uid, panel)[target["refId"]]:
                    if panel["type"] == "state-timeline" and NOTHING in series.values:
                        # What nobody knows has no more than a dash for a name.
                        assert legend(series, target).strip() == "-"
                        continue
                    missing = {label for label in wanted if not series.labels.get(label)}
                    if panel["title"] == "Answers to Prometheus" and is_without_vantages:
                        missing -= {"vantage"}
                    if panel["title"] == "Keys, by kid":
                        # A key need not say its algorithm.
                        missing -= {"alg"}
                    assert not missing, (uid, panel["title"], series.labels)


@every_case
def test_no_two_series_have_one_name(case):
    for uid in DASHBOARDS:
        for panel in panels(uid):
            drawn = [t for t in panel["targets"] if t["format"] != "table"]
            names = Counter(
                legend(series, t) for t in drawn for series in case.of(uid, panel)[t["refId"]]
            )
            assert not [n for n, count in names.items() if count > 1], (uid, panel["title"])


def tables() -> Iterator[tuple[str, dict[str, Any]]]:
    for uid in DASHBOARDS:
        for panel in panels(uid):
            if panel["targets"][0]["format"] == "table":
                yield uid, panel


every_table = pytest.mark.parametrize(
    ("uid", "panel"),
    [pytest.param(uid, panel, id=f"{uid}-{panel['title']}") for uid, panel in tables()],
)


@every_table
def test_a_table_shows_columns_that_come(moments, uid, panel):
    """In some case at least: an alert about an exporter has no issuer."""
    come: set[str] = set()
    for case in moments.cases.values():
        for target in panel["targets"]:
            found = case.of(uid, panel)[target["refId"]]
            come |= {"Time", table_name(panel, target)} if found else set()
            come |= {label for series in found for label in series.labels}

    assert shown(panel) - come == set()
    described = {o["matcher"]["options"] for o in panel["fieldConfig"]["overrides"]}
    # A matrix has a column of its rows' names, and numbers for the rest.
    assert described - come <= {"number", "issuer\\vantage"}, "for a column that never comes"


@every_table
def test_rows_are_joined_one_to_one(moments, uid, panel):
    """Two rows with one key would be torn apart, and a column of two queries be doubled."""
    if not (key := joined_by(panel)):
        return
    for case in moments.cases.values():
        columns: Counter[str] = Counter()
        for ref, found in case.of(uid, panel).items():
            keys = Counter(series.labels[key] for series in found)
            assert set(keys.values()) <= {1}, (case.name, ref, keys)
            columns.update({label for series in found for label in series.labels})
        twice = {label for label, count in columns.items() if count > 1} - {key}
        assert not twice & shown(panel), case.name


# What is said of it

DAY, YEAR = 86400.0, 366 * 86400.0
#: What values of a unit can be. Times are told in milliseconds.
SANE: dict[str, tuple[float, float]] = {
    "percentunit": (0, 10),
    "s": (0, 1e4),
    "bytes": (100, 1e9),
    "suffix:probes/s": (0, 100),
    "suffix:/s": (0, 100),
    "suffix:min": (0, 1440),
    "suffix:s": (-300, 300),
    "suffix:samples": (0, 1e5),
    "dtdurations": (0, 30 * DAY),
    "suffix:x": (0, 201),
    "suffix:days": (-4, 366),
    "none": (0, 1000),
    "short": (0, 1e4),
}
#: And where they can be something else.
ODD: dict[tuple[str, str], tuple[float, float]] = {
    # An objective of 99.5 % that is missed all the time.
    ("oidc-overview", "Worst error budget"): (-200, 1),
    ("oidc-overview", "Issuers"): (-200, 10),
    ("oidc-issuer", "Error budget left"): (-200, 1),
    ("oidc-slo", "Error budgets"): (-200, 1),
    # Drawn no lower.
    ("oidc-slo", "Error budget left"): (-1, 1),
    # An expired one has less than none.
    ("oidc-issuer", "Certificates"): (-1, 1),
}


@every_case
def test_values_fit_their_unit(case):
    now = case.screens["oidc-slo"].end
    moment = (1000 * (now - YEAR), 1000 * (now + YEAR))
    for uid, panel, field in case.drawn():
        unit = field.config["unit"]
        numbers = [
            v
            for v in field.values
            if isinstance(v, float) and not math.isnan(v) and not mapped(field.config, v)
        ]
        is_odd = unit in {"s", "percentunit"} and (uid, panel["title"]) in ODD
        if panel["type"] == "heatmap" or not numbers:
            # Its values are counts; the unit is that of the buckets.
            continue
        low, high = (
            moment
            if unit.startswith("dateTime")
            else (ODD[uid, panel["title"]] if is_odd else SANE[unit])
        )
        assert all(low <= v <= high for v in numbers), (uid, panel["title"], field.name)


#: Numbers of which zero alone has a word.
BUT_ZERO = {"Left alone", "Cause"}


@every_case
def test_every_value_has_its_word(case):
    """Where some values are told in words, all are, or they have a colour that says why not."""
    for uid, panel, field in case.drawn():
        if panel["title"] in BUT_ZERO and field.name == "Value":
            continue
        kinds = {mapping["type"] for mapping in field.config.get("mappings", ())}
        plain = [{"value": None, "color": "text"}]
        if kinds - {"special"} and field.config["thresholds"]["steps"] == plain:
            strange = {v for v in field.values if v is not None and not mapped(field.config, v)}
            assert not strange, (uid, panel["title"], field.name, strange)


LATENCY = ("latency_warning_ratio", "latency_critical_ratio")
ENDS = ("certificate_critical_seconds", "certificate_warning_seconds")
LIVES = ("certificate_critical_ratio", "certificate_warning_ratio")


@pytest.mark.parametrize(
    ("uid", "title", "field", "names"),
    [
        ("oidc-overview", "Issuers", "Value #p95", LATENCY),
        ("oidc-issuer", "p95 of budget", "", LATENCY),
        ("oidc-issuer", "Certificates", "Value #days", ENDS),
        ("oidc-issuer", "Certificates", "Value #life", LIVES),
        *(
            ("oidc-slo", "Error budgets", f"Value #{window}", (f"burnrate_{window}",))
            for window in ("1h", "6h", "1d", "3d")
        ),
    ],
)
def test_colours_change_at_the_recorded_thresholds(moments, uid, title, field, names):
    (panel,) = (panel for panel in panels(uid) if panel["title"] == title)
    steps = config_of(panel, field, is_number=True)["thresholds"]["steps"]

    scale = DAY if names == ENDS else 1
    recorded = [moments.thresholds[f"oidc:threshold:{name}"] / scale for name in names]
    assert [step["value"] for step in steps[1:]] == recorded


# Where nobody knows

#: Neither good nor bad.
UNDECIDED = {"text", "", "#8e8e8e"}


@pytest.mark.parametrize(
    ("uid", "panel"),
    [
        pytest.param(uid, panel, id=f"{uid}-{panel['title']}")
        for uid in DASHBOARDS
        for panel in panels(uid)
        if panel["type"] in {"stat", "table"}
    ],
)
def test_the_lack_of_a_value_has_no_colour(uid, panel):
    """Grafana paints it as the lowest step of the thresholds, unless it is mapped."""
    if panel["type"] == "stat":
        assert colour(panel["fieldConfig"]["defaults"], None) in UNDECIDED, uid
    for target in panel["targets"]:
        if joined_by(panel):
            config = config_of(panel, table_name(panel, target), is_number=True)
            if is_coloured(panel, config):
                assert colour(config, None) in UNDECIDED, (uid, target["refId"])


#: What is known all the same: that alerts are evaluated, and what was before.
KNOWN_STILL = {
    "silent": {("oidc-overview", "Alerts")},
    "empty": {("oidc-overview", "Alerts")},
    "dark": {
        ("oidc-overview", "Alerts"),
        ("oidc-overview", "Worst error budget"),
        # Its column of error budgets.
        ("oidc-overview", "Issuers"),
        ("oidc-issuer", "Error budget left"),
        ("oidc-issuer", "Withdrawn too early"),
        ("oidc-slo", "Error budgets"),
        ("oidc-slo", "Error budget left"),
    },
}


@pytest.mark.parametrize("case", KNOWN_STILL, indirect=True)
def test_nothing_turns_green_while_nobody_knows(case):
    for uid, panel, field in case.drawn():
        # A graph shows the past as well; and the exporters may be well while one issuer is
        # never probed.
        is_past = case.name == "dark" and panel["type"] not in {"stat", "table"}
        is_other = case.name == "silent" and uid == "oidc-exporter"
        if is_coloured(panel, field.config) and not is_past and not is_other:
            green = [value for value in field.values if colour(field.config, value) == "green"]
            key = (uid, panel["title"])
            assert not green or key in KNOWN_STILL[case.name], (key, field.name)


# Variables, annotations, links


def test_variables_offer_what_there_is(moments):
    every = {issuer.name for issuer in ISSUERS} | {SILENT, HASTY}
    for uid in DASHBOARDS:
        well, bad, lonely = (moments.variables[m][uid] for m in ("healthy", "broken", "lonely"))

        assert well["job"] == bad["job"] == lonely["job"] == ["oidc-issuer-exporter"]
        assert well["vantage"] == bad["vantage"] == sorted(VANTAGES)
        assert lonely["vantage"] == []
        assert (len(bad["instance"]), len(lonely["instance"])) == (3, 1)
        assert set(well["issuer"]) == {*GOOD, HASTY}
        assert set(bad["issuer"]) == every


@every_case
def test_a_mark_tells_what_happened_when_it_did(case):
    for uid, dashboard in DASHBOARDS.items():
        screen = case.screens[uid]
        for mark in dashboard["annotations"]["list"]:
            found = case.marks[uid, mark["name"]]
            names = set(re.findall(r"\{\{(\w+)\}\}", mark["titleFormat"] + mark["textFormat"]))
            labels = {label for series in found for label in series.labels}
            assert not found or labels <= names, "a mark says all that it knows"
            if mark["useValueForTime"]:
                times = [v / 1000 for series in found for v in series.values]
                # A clock of the kernel's counts process starts in hundredths.
                assert all(screen.start < t < screen.end + 0.1 for t in times), mark["name"]


every_panel = pytest.mark.parametrize(
    ("uid", "panel"),
    [
        pytest.param(uid, panel, id=f"{uid}-{panel['title']}")
        for uid in DASHBOARDS
        for panel in panels(uid)
    ],
)


@every_panel
def test_a_link_finds_the_label_that_it_carries_on(moments, uid, panel):
    """Of every series that it hangs on, and of every row."""
    for case in moments.cases.values():
        for field in fields(panel, case.of(uid, panel)):
            for link in field.config.get("links", ()):
                for label in re.findall(r"__field\.labels\.(\w+)", link["url"]):
                    assert field.labels.get(label), (case.name, field.name)
                for column in re.findall(r"__data\.fields\.(\w+)", link["url"]):
                    assert column in shown(panel)


def test_no_link_holds_a_query_of_its_own():
    """Otherwise it would have to be asked here as well."""
    text = json.dumps([dashboard["panels"] for dashboard in DASHBOARDS.values()])

    assert "/explore" not in text
