"""The runbooks: one for each alert, true to rules and code, and with commands that run."""

from __future__ import annotations

import functools
import re
import shlex
import shutil
import subprocess
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from exporter.advice import FAILURES, FINDINGS
from exporter.advice.alerts import OF_FAILURE, OF_FINDING
from exporter.advice.tables import refreshed
from exporter.arguments import parse
from exporter.catalogue import METRICS, NAMES
from exporter.reasons import LEVELS, Code, Level, Reason, Stage
from tests.authority import HOST, server_context
from tests.probing import DISCOVERY_PATH, KEYS, URL, discovery
from tests.servers import http, routed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.servers import Farm, Handler

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
RUNBOOKS = DOCS / "runbooks"
RULES = ROOT / "deploy/prometheus/rules"
ALERT_PAGES = sorted(RUNBOOKS.glob("OIDC*.md"))
ALL_PAGES = sorted(RUNBOOKS.glob("*.md"))
PROSE = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
SECTIONS = ["Meaning", "Impact", "Diagnosis", "Mitigation"]

# Labels that Prometheus adds to every series of a target, and those of a histogram.
OF_TARGETS = {"job", "instance", "vantage", "issuer", "le"}
# Series that Prometheus itself makes.
OF_PROMETHEUS = {"up", "ALERTS"}
X509 = {"-noout", "-subject", "-issuer", "-dates", "-enddate", "-ext"}
PACKAGES = {"promtool": "prometheus", "amtool": "prometheus-alertmanager"}

_FENCED = re.compile(
    r"^(?P<indent> *)```(?P<kind>\w*)\n(?P<text>.*?)^ *```$", re.MULTILINE | re.DOTALL
)
_GENERATED = re.compile(r"<!-- BEGIN (?P<what>[^>]+?) -->.*?<!-- END \w+ -->", re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
_METRIC = re.compile(r"(?<!:)\b(?:oidc|process|python)_[a-z0-9_]+\b(?!:)")
_RECORDED = re.compile(r"\b(?:oidc|[a-z_]+:oidc_[a-z0-9_]+):[a-z0-9_:]+\b")
_SELECTOR = re.compile(r"(?P<metric>[a-z_][\w:]*)\{(?P<matchers>[^}]*)\}")
_MATCHER = re.compile(r'(?P<label>\w+)\s*(?P<how>=~|!~|!=|=)\s*"(?P<value>[^"]*)"')


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def tool(command: str) -> str:
    package = PACKAGES.get(command, command)
    assert shutil.which(command), f"install {command}: apt-get install {package}"
    return command


def blocks(path: Path, kind: str) -> list[str]:
    found = _FENCED.finditer(path.read_text("utf-8"))
    return [
        re.sub(f"^{block['indent']}", "", block["text"], flags=re.MULTILINE)
        for block in found
        if block["kind"] == kind
    ]


def commands(path: Path) -> Iterator[str]:
    """Every logical line of the page's shell blocks."""
    for block in blocks(path, "sh"):
        yield from block.replace("\\\n", " ").splitlines()


@functools.cache
def rules(part: str) -> tuple[dict[str, Any], ...]:
    content = yaml.safe_load((RULES / f"oidc-{part}.yaml").read_text("utf-8"))
    return tuple(rule for group in content["groups"] for rule in group["rules"])


def alerts() -> dict[str, set[str]]:
    """Every alert with its severities."""
    found: dict[str, set[str]] = {}
    for rule in rules("alerts"):
        if "alert" in rule:
            found.setdefault(rule["alert"], set()).add(rule["labels"]["severity"])
    return found


def recorded() -> set[str]:
    parts = [path.stem.removeprefix("oidc-") for path in RULES.glob("oidc-*.yaml")]
    return {rule["record"] for part in parts for rule in rules(part) if "record" in rule}


def test_every_alert_has_a_page_and_every_page_an_alert():
    assert {page.stem for page in ALERT_PAGES} == set(alerts())


@pytest.mark.parametrize("page", ALERT_PAGES, ids=name)
def test_a_page_tells_meaning_impact_diagnosis_and_mitigation_in_this_order(page: Path):
    text = page.read_text("utf-8")

    assert text.startswith(f"# {page.stem}\n")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == SECTIONS
    assert all(re.search(rf"^## {s}\n\n(?!#)\S", text, re.MULTILINE) for s in SECTIONS)
    for promise in ("**Who can fix it.** ", "**Recovered when** "):
        assert text.count(promise) == 1, promise


@pytest.mark.parametrize("page", ALERT_PAGES, ids=name)
def test_a_page_names_the_severities_of_its_alert(page: Path):
    line = re.search(r"^Severity: (?P<words>.*?)\. ", page.read_text("utf-8"), re.MULTILINE)

    assert line, "no line with the severity"
    assert set(re.findall(r"\*\*(\w+)\*\*", line["words"])) == alerts()[page.stem]


@pytest.mark.parametrize("page", ALERT_PAGES, ids=name)
def test_the_first_screen_has_something_to_run(page: Path):
    """Meaning, impact and the first block fit on one screen; nobody has to scroll or click."""
    screen = page.read_text("utf-8").splitlines()[:45]

    assert any(line.lstrip().startswith(("```sh", "```promql")) for line in screen)


@pytest.mark.parametrize("page", ALERT_PAGES, ids=name)
def test_a_silence_names_the_page_s_own_alert_and_what_is_unset_nowhere(page: Path):
    """Pasting a silence without a matcher's value would silence the wrong thing, or nothing."""
    text = "\n".join(commands(page))
    silences = [line for line in text.splitlines() if "silence add" in line]
    used = {n for line in silences for n in re.findall(r"\$(\w+)", line)}

    assert all(f"alertname={page.stem}" in line.split() for line in silences)
    assert bool(silences) ^ bool(
        re.search("(Do not|Never) silence it", page.read_text("utf-8"))
    )
    assert {n for n in used if not re.search(rf"^{n}=", text, re.MULTILINE)} == set()


def test_the_index_leads_to_every_page_once_at_least_and_quotes_the_error():
    index = (RUNBOOKS / "README.md").read_text("utf-8")
    table = index[index.index("## Alerts") :]
    led_to = {m["target"] for m in _LINK.finditer(table) if m["target"].startswith("OIDC")}

    assert led_to == {page.name for page in ALERT_PAGES}
    assert "Couldn't retrieve verification key from your identity provider,  please" in index


@pytest.mark.parametrize("page", ALL_PAGES, ids=name)
def test_the_generated_parts_are_fresh(page: Path):
    """`make docs` writes them."""
    text = page.read_text("utf-8")

    assert refreshed(text) == text


def test_every_reason_and_every_code_has_its_anchor_among_the_causes():
    text = (RUNBOOKS / "causes.md").read_text("utf-8")
    anchors = re.findall(r'^### <a id="([^"]+)"></a>', text, re.MULTILINE)

    assert anchors == [a.anchor for a in (*FAILURES.values(), *FINDINGS.values())]


def test_every_alert_that_explains_a_failure_has_a_table_of_its_reasons():
    tables = {
        (page.stem, marked["what"])
        for page in ALERT_PAGES
        for marked in _GENERATED.finditer(page.read_text("utf-8"))
    }

    assert tables == {(alert, f"reasons {alert}") for alert in OF_FAILURE.values()}


def matches(matchers: str, facts: dict[str, str]) -> bool:
    """Whether Prometheus would select what has *facts* for labels."""
    tests: dict[str, Callable[[str, str], bool]] = {
        "=": lambda value, wish: value == wish,
        "!=": lambda value, wish: value != wish,
        "=~": lambda value, wish: bool(re.fullmatch(wish, value)),
        "!~": lambda value, wish: not re.fullmatch(wish, value),
    }
    wishes = _MATCHER.findall(matchers)
    return all(tests[how](facts[label], wish) for label, how, wish in wishes)


def selected(expr: str, metric: str, facts: dict[str, str]) -> bool:
    """Whether *expr* looks for *facts* among the series of *metric*, a pattern."""
    return any(
        matches(found["matchers"], facts)
        for found in _SELECTOR.finditer(expr)
        if re.fullmatch(metric, found["metric"])
    )


def test_a_failure_belongs_to_the_alert_whose_rule_selects_it():
    """All but lateness, which is what is left when no other failure is met.

    A forecast looks at the failure it foretold only to fall silent.
    """
    failures = r"issuer_vantage:oidc_failure:info|issuer:oidc_failure:vantages|\w+_failure_info"
    spoken = {
        (pair, rule["alert"])
        for rule in rules("alerts")
        if rule["labels"]["kind"] != "forecast"
        for pair in OF_FAILURE
        if selected(rule["expr"], failures, {"stage": pair[0], "reason": pair[1]})
    }

    assert spoken | {((Stage.BUDGET, Reason.EXCEEDED), "OIDCIssuerOverBudget")} == set(
        OF_FAILURE.items()
    )


def test_a_finding_belongs_to_the_alert_whose_rule_selects_it():
    """The others have a metric of their own, which says it in numbers."""
    spoken = {
        (code, rule["alert"])
        for rule in rules("alerts")
        for code in Code
        if selected(
            rule["expr"], "issuer:oidc_finding:vantages", {"code": code, "level": LEVELS[code]}
        )
    }
    by_number = {
        Code.NO_CACHE: "OIDCJWKSNotCacheable",
        Code.PRAGMA_NO_CACHE: "OIDCJWKSNotCacheable",
        Code.MAX_AGE_ZERO: "OIDCJWKSCacheTooShort",
        Code.CACHE_SHORT: "OIDCJWKSCacheTooShort",
        Code.KEYS_NEAR_LIMIT: "OIDCKeyCountNearLimit",
        Code.CLOCK_SKEW: "OIDCIssuerClockSkew",
    }

    assert spoken | set(by_number.items()) == set(OF_FINDING.items())
    assert set(by_number.values()) <= set(alerts())


def test_every_finding_that_wants_attention_has_an_alert():
    assert {code for code in Code if LEVELS[code] is not Level.NOTICE} <= set(OF_FINDING)


def test_a_table_of_reasons_is_refused_to_an_alert_that_speaks_of_none():
    with pytest.raises(KeyError, match="OIDCExporterDown"):
        refreshed("<!-- BEGIN reasons OIDCExporterDown --><!-- END reasons -->")


@pytest.mark.parametrize("page", ALL_PAGES, ids=name)
def test_every_shell_block_is_shell(page: Path):
    for block in blocks(page, "sh"):
        done = subprocess.run(
            [tool("bash"), "-n"], input=block, check=False, capture_output=True, text=True
        )

        assert (done.returncode, done.stderr) == (0, ""), block


def own_calls() -> Iterator[tuple[str, list[str]]]:
    """Our own command as the prose and the shell blocks call it."""
    for page in PROSE:
        inline = re.findall(r"`(oidc-issuer-exporter [^`]+)`", page.read_text("utf-8"))
        for line in (*commands(page), *inline):
            if line.startswith("oidc-issuer-exporter "):
                yield name(page), shlex.split(line, comments=True)[1:]


@pytest.mark.parametrize(("page", "words"), list(own_calls()), ids=str)
def test_our_own_command_is_called_as_it_can_be_called(page: str, words: list[str]):
    given = [word for word in words if word != "URL"]
    if given == ["--version"]:
        with pytest.raises(SystemExit, match=r"^0$"):
            parse(given)
    else:
        assert parse(given).command in {"serve", "check", "demo"}, page


def alertmanager_calls() -> dict[str, str]:
    """Every call that differs from others in more than the alert's name, and its page."""
    return {
        re.sub(r"alertname=\w+", "alertname=OIDCIssuerUnusable", line): name(page)
        for page in ALL_PAGES
        for line in commands(page)
        if line.startswith("amtool")
    }


@pytest.mark.parametrize(("line", "page"), list(alertmanager_calls().items()), ids=str)
def test_amtool_understands_the_command(line: str, page: str):
    """It reads all of its arguments before it finds nobody at the far end.

    A subcommand that it does not know is a filter to it.
    """
    subcommand = " ".join(takewhile(str.isalpha, line.split()[1:]))
    usage = subprocess.run(
        [tool("amtool"), *subcommand.split(), "--help"],
        check=False,
        capture_output=True,
        text=True,
    )
    url = "--alertmanager.url=http://127.0.0.1:1"
    done = subprocess.run(
        [tool("bash"), "-c", re.sub(r"--alertmanager\.url=\S+", url, line)],
        env={"NAME": "a", "VANTAGE": "b", "EXPORTER": "c:1", "SILENCE_ID": "d"}
        | {"PATH": str(Path(shutil.which(tool("amtool")) or "").parent), "HOME": "/nowhere"},
        check=False,
        capture_output=True,
        text=True,
        timeout=20,
    )

    assert f"usage: amtool {subcommand} [" in usage.stdout + usage.stderr, page
    assert "--alertmanager.url=" in line, page
    assert "connection refused" in done.stderr, done.stderr


RECEIVERS = {"critical": "pager", "warning": "ticket", "info": "log", "none": "watchdog"}


@pytest.mark.parametrize(
    "line", [x for page in ALL_PAGES for x in commands(page) if "routes test" in x]
)
def test_a_page_that_asks_for_a_route_gets_that_of_its_alert(line: str):
    (labels,) = re.findall(r"( \w+=.*)$", line)
    given = dict(pair.split("=", 1) for pair in labels.split())
    config = ROOT / "deploy/alertmanager/alertmanager.yaml"
    done = subprocess.run(
        [
            tool("amtool"),
            "config",
            "routes",
            "test",
            f"--config.file={config}",
            *labels.split(),
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    (severity,) = alerts()[given["alertname"]]

    assert done.stdout.strip() == RECEIVERS[severity]


def queries() -> Iterator[tuple[str, str]]:
    for page in PROSE:
        yield from ((name(page), block.strip()) for block in blocks(page, "promql"))
        for line in commands(page):
            found = re.search(r"promtool query instant \S+ (?P<query>'.*'|\".*\")", line)
            if found:
                (query,) = shlex.split(found["query"])
                yield name(page), query


def test_every_query_is_promql(tmp_path: Path):
    """Prometheus's own parser reads them, all at once, as rules."""
    found = list(queries())
    file = tmp_path / "queries.yaml"
    # A block may show several queries, each with a comment.
    plain = [part for _, text in found for part in re.split(r"\n(?=[a-z])", text)]
    records = [{"record": f"q{i}", "expr": query} for i, query in enumerate(plain)]
    file.write_text(yaml.safe_dump({"groups": [{"name": "docs", "rules": records}]}))
    done = subprocess.run(
        [tool("promtool"), "check", "rules", file], check=False, capture_output=True, text=True
    )

    assert len(found) > len(ALERT_PAGES) / 2
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("page", ALL_PAGES, ids=name)
def test_every_metric_that_is_named_exists(page: Path):
    text = page.read_text("utf-8")

    assert set(_METRIC.findall(text)) <= NAMES
    assert set(_RECORDED.findall(text)) <= recorded()


@pytest.mark.parametrize(("page", "query"), list(queries()), ids=str)
def test_a_query_selects_by_labels_and_values_that_exist(page: str, query: str):
    labels = {n: {x.name: x for x in m.labels} for m in METRICS for n in m.series_names}
    for selector in _SELECTOR.finditer(query):
        metric = selector["metric"]
        assert metric in NAMES | OF_PROMETHEUS | recorded(), page
        for label, how, value in _MATCHER.findall(selector["matchers"]):
            if metric not in NAMES:
                continue
            assert label in OF_TARGETS | set(labels[metric]), (page, label)
            known = labels[metric][label].values if label in labels[metric] else ()
            assert not known or "~" in how or value in known, (page, value)


def slugs(path: Path) -> set[str]:
    """The anchors of a page, as GitHub makes them."""
    text = _FENCED.sub("", path.read_text("utf-8"))
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    plain = [re.sub(r"<[^>]+>|[^\w\s-]", "", h.lower()).strip() for h in headings]
    return {h.replace(" ", "-") for h in plain} | set(re.findall(r'<a id="([^"]+)"', text))


@pytest.mark.parametrize("page", PROSE, ids=name)
def test_every_link_inside_the_project_leads_somewhere(page: Path):
    dead = []
    for match in _LINK.finditer(_FENCED.sub("", page.read_text("utf-8"))):
        path, _, anchor = match["target"].partition("#")
        if "://" in path:
            continue
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in slugs(target)):
            dead.append(match["target"])

    assert dead == []


def fetches() -> Iterator[tuple[str, str]]:
    """Every line of a page that asks the issuer itself for something."""
    for page in (*ALERT_PAGES, RUNBOOKS / "tools.md"):
        for line in commands(page):
            if re.match(r"(URL=\$\()?(curl|openssl) .*\$(ISSUER|\{ISSUER|URL|HOST)", line):
                yield name(page), line


@pytest.mark.parametrize(("page", "line"), list(fetches()), ids=str)
def test_a_command_gets_an_answer_from_an_issuer(
    page: str, line: str, farm: Farm, pki: Path, tmp_path: Path
):
    """Every option is one that curl, openssl and jq know, and every filter finds something."""
    extra = "Cache-Control: no-cache\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\n"
    headers = f"Content-Type: application/json\r\n{extra}"
    routes: dict[str, bytes | Handler] = {
        "/": http("hello", headers=headers),
        DISCOVERY_PATH: http(discovery(), headers=headers),
        "/jwks": http(KEYS, headers=headers),
    }
    port = farm.serve(routed(routes), server_context(pki))
    # curl reads it wherever it is called: everything is dialled on loopback.
    (tmp_path / ".curlrc").write_text(
        f'connect-to = "::127.0.0.1:{port}"\ncacert = "{pki / "root.pem"}"\n'
    )
    url = f"{URL}/jwks" if ".keys[]" in line or '"kid"' in line else URL + DISCOVERY_PATH
    is_tls = "openssl s_client" in line
    line = line.replace("$HOST:443", "$HOST:$PORT")
    done = subprocess.run(
        [tool("bash"), "-c", line],
        env={
            "CURL_HOME": str(tmp_path),
            "PATH": str(Path(shutil.which(tool("jq")) or "").parent) + ":/usr/bin:/bin",
            "ISSUER": URL,
            "URL": url,
            "HOST": "127.0.0.1" if is_tls else HOST,
            "PORT": str(port),
        },
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
        timeout=20,
    )

    assert done.returncode == 0, (page, done.stderr)
    # openssl x509 takes an option that it does not know for a digest, and says nothing.
    assert "x509" not in line or set(re.findall(r" (-\w+)", line.partition("x509")[2])) <= X509
    assert done.stdout or " -v" in line or "-sv" in line or line.startswith("URL="), page
