"""The pages for people, as they are sent: what they say, and that nothing in them can harm."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import time
import unicodedata
from dataclasses import replace
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from yarl import URL

from exporter import __version__
from exporter.advice import FAILURES, FINDINGS
from exporter.model import CachePolicy, Discovery
from exporter.reasons import REASONS, Code, Document, Reason, Stage
from exporter.summary import Standing
from exporter.web.listing import LONGEST_TEXT
from exporter.web.overview import ROWS
from exporter.web.rendering import _load
from exporter.web.words import CAUSES_PAGE, issuer_path, link, span, when
from tests import builders, reports
from tests.daemon import daemon
from tests.markup import Page
from tests.probing import URL as ISSUER_URL
from tests.probing import discovery
from tests.servers import http
from tests.site import asked, site

if TYPE_CHECKING:
    from pathlib import Path

    from aiohttp.test_utils import TestClient

    from exporter.model import Issuer, Report
    from tests.probing import Bench

NOW = builders.NOW
HEADINGS = [
    "Issuer",
    "State",
    "Cause",
    "Since",
    "Time of budget",
    "Cacheable",
    "Usable keys",
    "Certificate",
]


async def page(client: TestClient[Any, Any], path: str = "/") -> Page:
    status, text = await asked(client, path)
    assert status == 200
    return Page(text)


async def shown(report: Report, path: str = "/issuers/acme") -> Page:
    async with site(report) as client:
        return await page(client, path)


def issuer(name: str, **changes: Any) -> Issuer:
    return builders.issuer(**{"name": name, "url": f"https://{name}.example.com", **changes})


def names(found: Page) -> list[str]:
    return [row[0].split()[0] for row in found.rows("issuers")]


FLEET = [issuer(name) for name in ("good", "new", "slow", "expired", "risky")]


def fleet() -> list[Report]:
    """Reports of a small fleet, one of each kind; one issuer was not probed yet."""
    now = time.time()
    times: Any = {"started_timestamp_seconds": now - 70, "ended_timestamp_seconds": now - 65}
    risky = builders.report(findings=(builders.finding(Code.NO_CACHE),))
    seen = {"good": reports.good(), "slow": reports.slow(), "expired": reports.expired()}
    return [
        replace(one, issuer=next(i for i in FLEET if i.name == name), **times)
        for name, one in {**seen, "risky": risky}.items()
    ]


async def test_every_issuer_has_a_row_and_the_worst_stand_first() -> None:
    async with site(*fleet(), issuers=FLEET) as client:
        found = await page(client)

    assert [tag.text for tag in found.all("th", scope="col")] == HEADINGS
    expired, slow, risky, good, new = found.rows("issuers")
    assert expired[:4] == [
        "expired expired.example.com",
        "not usable",
        "The certificate has expired discovery tls/expired",
        "1 min",
    ]
    assert slow[1:3] == [
        "not usable",
        "The answer is good, but comes too late jwks budget/exceeded",
    ]
    assert slow[4:7] == ["6.30 s of 5 s", "no", "1 of 2"]
    assert risky[1:3] == ["at risk", FINDINGS[Code.NO_CACHE].title]
    assert (good[1], good[2], good[5]) == ("usable", "", "yes, 5 min")
    assert new[1:] == ["not probed", "", *["\u2013not known"] * 5]
    assert found.one("h1").text == "STS cannot use 2 of 5 issuers"
    assert found.one("title").text == "STS cannot use 2 of 5 issuers · OIDC issuer exporter"


@pytest.mark.parametrize(
    ("kept", "headline"),
    [
        (["good", "risky"], "STS can use all 2 issuers"),
        (["good"], "STS can use 1 of 1 issuer"),
        (["good", "new"], "STS can use 1 of 2 issuers"),
        (["slow"], "STS cannot use 1 of 1 issuer"),
    ],
)
async def test_the_headline_tells_how_the_fleet_stands(kept: list[str], headline: str) -> None:
    mine = [one for one in FLEET if one.name in kept]
    async with site(*(r for r in fleet() if r.issuer in mine), issuers=mine) as client:
        assert (await page(client)).one("h1").text == headline


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["expired", "slow", "risky", "good", "new"]),
        ("sort=-state", ["new", "good", "risky", "expired", "slow"]),
        ("sort=name", ["expired", "good", "new", "risky", "slow"]),
        ("sort=-name", ["slow", "risky", "new", "good", "expired"]),
        ("sort=time", ["expired", "good", "risky", "slow", "new"]),
        ("sort=-time", ["slow", "risky", "good", "expired", "new"]),
        ("sort=cacheable", ["slow", "good", "expired", "new", "risky"]),
        ("sort=keys", ["risky", "slow", "good", "expired", "new"]),
        ("sort=certificate", ["expired", "good", "risky", "slow", "new"]),
        ("sort=-since", ["expired", "good", "risky", "slow", "new"]),
        ("sort=nonsense", ["expired", "slow", "risky", "good", "new"]),
        ("state=usable", ["good"]),
        ("state=not_probed", ["new"]),
        ("state=nonsense", ["expired", "slow", "risky", "good", "new"]),
        ("text=TOO+LATE", ["slow"]),
        ("text=tls/expired", ["expired"]),
        ("text=+good.example+", ["good"]),
        ("text=e&state=not_usable&sort=-name", ["slow", "expired"]),
    ],
)
async def test_the_list_is_filtered_and_sorted_on_the_server(
    query: str, expected: list[str]
) -> None:
    """What is not known comes last, and names decide where nothing else does."""
    async with site(*fleet(), issuers=FLEET) as client:
        assert names(await page(client, f"/?{query}")) == expected


async def test_a_label_finds_its_issuers() -> None:
    labelled = [issuer("a", labels=(("team", "x"),)), issuer("b", labels=(("team", "y"),))]
    async with site(issuers=labelled) as client:
        found = await page(client, "/?text=team=y")

    assert names(found) == ["b"]
    assert found.one("q").text == "team=y"


async def test_the_column_that_sorts_says_so_and_turns_round() -> None:
    async with site(*fleet(), issuers=FLEET) as client:
        found = await page(client, "/?sort=-time&text=e&state=not_usable")

    sorting = [tag for tag in found.all("th") if "aria-sort" in tag.attributes]
    assert [(tag.text, tag.attributes["aria-sort"]) for tag in sorting] == [
        ("Time of budget", "descending")
    ]
    links = {tag.text: tag.attributes["href"] for tag in found.all("a")}
    assert links["Time of budget"] == "/?text=e&state=not_usable&sort=time"
    assert links["Since"] == "/?text=e&state=not_usable&sort=-since"
    assert links["State"] == "/?text=e&state=not_usable&sort=state"


async def test_the_states_are_counted_and_lead_to_their_issuers() -> None:
    async with site(*fleet(), issuers=FLEET) as client:
        found = await page(client, "/?state=usable")

    chips = found.all("a", class_="chip")
    assert [(tag.text, tag.attributes["href"]) for tag in chips] == [
        ("all5", "/"),
        ("not usable2", "/?state=not_usable"),
        ("at risk1", "/?state=at_risk"),
        ("usable1", "/?state=usable"),
        ("not probed1", "/?state=not_probed"),
    ]
    assert [tag.text for tag in chips if "aria-current" in tag.attributes] == ["usable1"]


async def test_the_form_keeps_what_is_chosen_beside_it() -> None:
    async with site(*fleet(), issuers=FLEET) as client:
        path = "/?state=not_usable&refresh=off&sort=-time&text=" + "x" * 300
        found = await page(client, path)

    fields = {tag.attributes["name"]: tag.attributes.get("value") for tag in found.all("input")}
    assert fields == {"state": "not_usable", "refresh": "off", "text": "x" * LONGEST_TEXT}
    assert found.one("option", selected="").attributes["value"] == "-time"
    assert found.one("form").attributes == {"method": "get", "action": "/", "role": "search"}


async def test_nothing_found_is_said_with_a_way_back() -> None:
    async with site(*fleet(), issuers=FLEET) as client:
        found = await page(client, "/?text=nothing-like-it")
        empty = await page(client, "/?state=unknown")

    assert "No issuer to show." in found.one("p", class_="empty").text
    assert found.one("h1").text == "No issuer holds this text"
    assert not found.all("table")
    assert not empty.all("table")
    assert ("Show all", "/") in [(t.text, t.attributes["href"]) for t in found.all("a")]


async def test_a_fleet_comes_in_pages() -> None:
    many = [issuer(f"i{n:03}") for n in range(2 * ROWS + 1)]
    async with site(issuers=many) as client:
        first = await page(client, "/?sort=name")
        second = await page(client, "/?sort=name&page=2")
        third = await page(client, "/?sort=name&page=3")
        beyond = [await page(client, f"/?sort=name&page={n}") for n in ("99", "x", "0", "٣")]

    assert names(first) == [f"i{n:03}" for n in range(ROWS)]
    assert names(second)[0] == f"i{ROWS:03}"
    assert names(third) == [f"i{2 * ROWS:03}"]
    assert [names(one)[0] for one in beyond] == ["i200", "i000", "i000", "i000"]
    assert not first.all("a", rel="prev")
    assert first.one("a", rel="next").attributes["href"] == "/?sort=name&page=2"
    assert second.one("a", rel="prev").attributes["href"] == "/?sort=name&page=1"
    assert not third.all("a", rel="next")
    assert first.one("caption").text == "Issuers 1 to 100 of 201"
    assert third.one("caption").text == "Issuers 201 to 201 of 201"


async def test_the_list_refreshes_itself_until_told_not_to() -> None:
    async with site(reports.good()) as client:
        on = await page(client, "/?text=a")
        off = await page(client, "/?text=a&refresh=off")

    meta = {"http-equiv": "refresh", "content": "30"}
    assert meta in [tag.attributes for tag in on.all("meta")]
    assert meta not in [tag.attributes for tag in off.all("meta")]
    assert on.all("a", href="/?text=a&refresh=off")
    assert off.all("a", href="/?text=a")


async def test_the_page_of_an_issuer_refreshes_itself_when_asked_to() -> None:
    """By itself it would close what somebody has opened."""
    off = await shown(reports.good())
    on = await shown(reports.good(), "/issuers/acme?refresh=on")

    meta = {"http-equiv": "refresh", "content": "30"}
    assert meta not in [tag.attributes for tag in off.all("meta")]
    assert meta in [tag.attributes for tag in on.all("meta")]


async def test_links_lead_below_the_path_of_the_proxy() -> None:
    async with site(*fleet(), issuers=FLEET, prefix="/oidc", telemetry_path="/m") as client:
        pages = [await page(client, path) for path in ("/", "/oidc", "/oidc/", "/issuers/slow")]
        missing = Page((await asked(client, "/oidc/issuers/nobody"))[1])

    for one in (*pages, missing):
        paths = [tag.attributes["href"] for tag in one.all("a")]
        own = [path for path in paths if not path.startswith(("#", "https://"))]
        assert {"/oidc/", "/oidc/m", "/oidc/-/healthy", "/oidc/-/ready"} <= set(own)
        assert [path for path in own if not path.startswith("/oidc/")] == []
        assert __version__ in one.source


async def test_where_metrics_are_at_the_root_issuers_keep_their_pages() -> None:
    async with site(reports.good(), telemetry_path="/") as client:
        assert "# HELP" in (await asked(client, "/"))[1]
        assert (await page(client, "/issuers/acme")).one("h1").text == "acme"


async def test_pages_may_load_nothing_and_are_not_kept() -> None:
    async with site(reports.good()) as client:
        for path in ("/", "/issuers/acme", "/issuers/nobody"):
            response = await client.get(path)
            text = await response.text()
            policy = response.headers["Content-Security-Policy"]
            assert policy.startswith("default-src 'none'; style-src 'sha256-")
            assert "script" not in policy
            assert "'unsafe" not in policy
            assert "frame-ancestors 'none'" in policy
            assert response.headers["Cache-Control"] == "no-store"
            assert response.headers["Referrer-Policy"] == "no-referrer"
            found = Page(text)
            assert not {tag.name for tag in found.tags} & {"script", "img", "iframe", "object"}
            inline = {"style", "onload", "onclick", "onerror"}
            assert not [t for t in found.tags if inline & t.attributes.keys()]
            assert [t.attributes["href"][:10] for t in found.all("link")] == ["data:image"]


async def test_one_issuer_is_shown_in_full() -> None:
    found = await shown(reports.slow())
    text = found.one("main").text

    assert found.one("h1").text == "acme"
    assert [tag.text for tag in found.all("h2")] == [
        "What to do",
        "Where the time went",
        "Findings",
        "Keys: 2 published, 1 usable for STS",
        "Discovery document",
        "Key set",
        "Certificate of the discovery document's server",
        "The last reports",
    ]
    assert found.rows("waterfall") == [
        ["discovery", "resolve", "0.010 s", ""],
        ["discovery", "connect", "0.020 s", ""],
        ["discovery", "tls", "0.040 s", ""],
        ["discovery", "processing", "3.050 s", ""],
        ["discovery", "transfer", "0.030 s", ""],
        ["key set", "processing", "3.100 s", ""],
        ["key set", "transfer", "0.050 s", ""],
    ]
    assert [row[0] for row in found.rows("keys")] == ["signing", "encryption"]
    assert found.rows("keys")[1][4] == "not usable use is enc"
    for words in (
        FAILURES[Stage.BUDGET, Reason.EXCEEDED].todo,
        "AWS's cause C: ",
        "InvalidIdentityToken",
        "2001:db8::1 (network unreachable)",
        "93.184.215.14 port 443 (IPv4, global)",
        "TLSv1.3, TLS_AES_256_GCM_SHA384",
        "6.30 s of 5 s: discovery 3.15 s, jwks 3.15 s",
        "cache-control no-cache",
        "CN=issuer.example.com",
        "1 of 2 keys for encryption only: encryption",
    ):
        assert words in text
    hrefs = [tag.attributes["href"] for tag in found.all("a")]
    assert f"{CAUSES_PAGE}#budget-exceeded" in hrefs
    assert f"{CAUSES_PAGE}#finding-no_cache" in hrefs
    assert "/api/v1/issuers/acme" in hrefs


async def test_the_waterfall_is_drawn_to_scale() -> None:
    """In percent of 6.3 s, with the budget at 5 s."""
    found = await shown(reports.slow())
    start = found.source.index('<table class="waterfall"')
    drawn = Page(found.source[start : found.source.index("</table>", start)] + "</table>")

    bars = [(t.attributes["class"], t.attributes["x"]) for t in drawn.all("rect")]
    assert bars[3] == ("processing", f"{100 * 0.07 / 6.3:.3f}%")
    assert bars[5] == ("processing", "50.0%")
    assert {tag.attributes["x1"] for tag in drawn.all("line")} == {"79.37%"}


async def test_what_stopped_a_fetch_is_marked_where_it_stopped() -> None:
    found = await shown(reports.expired())

    assert found.rows("waterfall")[-1] == ["discovery", "tls", "stopped 0.040 s", ""]
    assert found.one("section", class_="verdict not_usable")
    assert "not verified" in found.one("main").text


async def test_a_failing_documents_headers_are_open() -> None:
    stopped = builders.failure(Stage.HTTP, Reason.FORBIDDEN, detail="answered 403")
    blocked = builders.report(
        fetches=(builders.fetch(status=403, headers=(("server", "edge"),)),), failure=stopped
    )

    headers, chain = (await shown(blocked)).all("details")
    assert "open" in headers.attributes
    assert "open" not in chain.attributes
    assert "open" not in (await shown(reports.good())).all("details")[0].attributes


@pytest.mark.parametrize(
    ("stage", "reason"), [(stage, reason) for stage in REASONS for reason in REASONS[stage]]
)
async def test_every_failure_has_its_advice_and_a_runbook(stage: Stage, reason: Reason) -> None:
    failing = builders.report(failure=builders.failure(stage, reason, detail="the very words"))
    found = await shown(failing)
    advice = FAILURES[stage, reason]
    text = found.one("main").text

    assert f"discovery {stage}/{reason}" in text
    assert "the very words" in text
    assert advice.title.replace("`", "") in text
    assert " ".join(advice.todo.replace("`", "").split()) in text
    assert found.all("a", href=f"{CAUSES_PAGE}#{advice.anchor}")


@pytest.mark.parametrize("code", Code)
async def test_every_finding_is_listed(code: Code) -> None:
    found = await shown(
        builders.report(findings=(builders.finding(code, detail="very words"),))
    )
    text = found.one("main").text

    assert FINDINGS[code].title.replace("`", "") in text
    assert "very words" in text
    is_notice = builders.finding(code).level == "notice"
    assert ("What to do" in text) is not is_notice


async def test_the_last_reports_can_be_looked_at_one_by_one() -> None:
    good = replace(reports.good(), started_timestamp_seconds=NOW - 60)
    async with site(good, reports.slow()) as client:
        latest = await page(client, "/issuers/acme")
        entries = [t for t in latest.all("a") if "report=" in t.attributes["href"]]
        earlier = await page(client, entries[0].attributes["href"])
        gone = await page(client, "/issuers/acme?report=1.000000")

    assert len(entries) == 1
    assert latest.rows("entries")[0][1:] == ["not usable", "jwks budget/exceeded"]
    assert latest.rows("entries")[1][1:] == [
        "usable",
        "STS would get a key in 0.23 s of its 5 s.",
    ]
    assert "This is an earlier report." in earlier.source
    assert "Keys: 2 published, 2 usable for STS" in earlier.one("main").text
    assert "not usable" in earlier.one("section", class_="verdict not_usable").text
    assert earlier.all("a", href="/issuers/acme")
    assert "is not kept any more" in gone.source
    assert "Keys: 2 published, 1 usable for STS" in gone.one("main").text


async def test_a_run_of_failures_says_how_many_were_left_out() -> None:
    run = [replace(reports.expired(), started_timestamp_seconds=NOW + n) for n in range(9)]
    async with site(*run) as client:
        rows = (await page(client, "/issuers/acme")).rows("entries")

    assert [row[2] for row in rows] == [
        "discovery tls/expired",
        "discovery tls/expired and 6 like it before",
        "discovery tls/expired",
    ]


async def test_an_issuer_without_a_report_has_a_page() -> None:
    async with site(issuers=[issuer("new", interval_seconds=90.0)]) as client:
        found = await page(client, "/issuers/new")

    assert "this one comes within 1 min" in found.one("main").text
    assert "None yet." in found.one("main").text


async def test_a_probe_that_fetched_nothing_has_a_page() -> None:
    stopped = builders.failure(Stage.CONFIG, Reason.BAD_URL)
    found = await shown(
        builders.report(fetches=(), discovery=None, key_set=None, failure=stopped)
    )

    assert "Nothing was fetched." in found.one("main").text


async def test_an_issuer_that_asked_for_rest_is_said_to_have() -> None:
    """While that lasts."""
    until = time.time() + 600
    found = await shown(builders.report(retry_after_timestamp_seconds=until))
    later = await shown(builders.report(retry_after_timestamp_seconds=NOW))

    assert "It asked to be left alone until" in found.source
    assert "It asked to be left alone until" not in later.source


async def test_what_is_found_twice_is_advised_on_once() -> None:
    twice = tuple(builders.finding(Code.CHAIN_ORDER, document) for document in Document)
    bare = builders.fetch(tls=None)
    policies = ((Document.JWKS, CachePolicy()),)
    found = await shown(builders.report(findings=twice, fetches=(bare,), caching=policies))

    title = FINDINGS[Code.CHAIN_ORDER].title
    assert [tag.text for tag in found.all("h3")].count(title) == 1
    assert [row[2] for row in found.rows("stack")] == [title, title]
    assert "Key set cacheable yes" in found.one("dl", class_="tiles").text
    assert not [tag for tag in found.all("h2") if tag.text.startswith("Certificate")]


async def test_long_lists_are_cut_and_counted() -> None:
    keys = builders.key_set(*(builders.key(f"k{n}") for n in range(450)))
    chain = tuple(builders.certificate(sha256=f"{n:064}") for n in range(40))
    found = await shown(
        builders.report(
            key_set=keys,
            fetches=(builders.fetch(tls=builders.tls(chain=chain)),),
            discovery=Discovery(
                issuer="x" * 5000, jwks_uri="y" * 5000, algs=("ES256",), missing=("claims",)
            ),
        )
    )
    text = found.one("main").text

    assert len(found.rows("keys")) == 100
    assert "and 350 more" in text
    assert "and 30 more" in text
    assert "x" * 399 + "…" in text
    assert "missing claims" in text


async def test_an_unknown_issuer_is_not_found_and_its_name_is_harmless() -> None:
    async with site(reports.good()) as client:
        path = URL("/issuers/%3Cscript%3E%E2%80%AE" + "x" * 4000, encoded=True)
        response = await client.get(path)
        found = Page(await response.text())

    assert response.status == 404
    assert found.one("q").text.startswith(r"<script>\u202ex")
    assert len(found.one("q").text) == 255


NAMES = st.text(
    st.characters(codec="utf-8", exclude_categories=("C", "Zl", "Zp")), min_size=1, max_size=60
).filter(str.isprintable)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(NAMES, min_size=1, max_size=5, unique=True))
def test_every_name_has_a_page_and_a_document_that_its_links_lead_to(given: list[str]) -> None:
    """Slashes, dots, percent signs, quotes, whatever can be printed."""
    asyncio.run(_follow_all(given))


@pytest.mark.parametrize(
    "name",
    [
        *(".", "..", "/", "//", "a//b", "a/../b", "../../metrics", "a/", "%2e%2e", "%2F"),
        *("oidc.eks.eu-west-1.amazonaws.com/id/ABC", '"><script>', "ключ", "名前", "+ &=;"),
        *("\\", "a?b#c"),
    ],
)
async def test_awkward_names_have_pages_too(name: str) -> None:
    await _follow_all([name])


async def _follow_all(given: list[str]) -> None:
    issuers = [
        builders.issuer(name=name, url=f"https://{n}.test") for n, name in enumerate(given)
    ]
    async with site(issuers=issuers) as client:
        overview = await page(client)
        paths = [
            t.attributes["href"]
            for t in overview.all("a")
            if "issuers/" in t.attributes["href"]
        ]
        assert len(paths) == len(given)
        for path in paths:
            assert "/../" not in f"{path}/".partition("?")[0]
            response = await client.get(URL(path, encoded=True))
            found = Page(await response.text())
            assert response.status == 200, path
            (json_path,) = (
                t.attributes["href"]
                for t in found.all("a")
                if t.text == "JSON" and "issuers/" in t.attributes["href"]
            )
            document = await (await client.get(URL(json_path, encoded=True))).json()
            assert document["summary"]["name"] in given
            assert found.one("h1").text == " ".join(document["summary"]["name"].split())


HOSTILE = (
    "\"'><script>alert(1)</script><img src=x onerror=alert(1)>{{7*7}}"
    "\u202e\u2066\x00\x1b[31m\r\n\ud800"
)


def hostile(text: str) -> Report:
    """*text* wherever a remote party can put any."""
    chain = (
        builders.certificate(
            subject=text, issuer=text, names=(text,) * 9, serial=text, key=text, signature=text
        ),
    )
    headers = ((text, text), ("content-type", text), ("cache-control", text), ("age", text))
    detail = builders.failure(Stage.HTTP, Reason.REDIRECT, detail=text)
    fetches = tuple(
        builders.fetch(
            document,
            url=text,
            tls=builders.tls(chain=chain, version=text, cipher=text, thumbprint=text),
            headers=headers,
            redirect=text,
            failure=detail,
        )
        for document in Document
    )
    return builders.report(
        fetches=fetches,
        key_set=builders.key_set(
            builders.key(text, alg=text, use=text, crv=text, faults=(text,))
        ),
        discovery=Discovery(issuer=text, jwks_uri=text, algs=(text,), missing=(text,)),
        failure=detail,
        findings=(builders.finding(Code.DUPLICATE_KID, detail=text),),
    )


async def check_harmless(text: str) -> None:
    async with site(hostile(text)) as client:
        plain = await _shape(client, "/"), await _shape(client, "/issuers/acme")
        status, document = await asked(client, "/api/v1/issuers/acme")
    async with site(hostile("x")) as client:
        expected = await _shape(client, "/"), await _shape(client, "/issuers/acme")

    # The same tags and attributes as with an honest text: nothing has become markup.
    assert plain == expected
    assert status == 200
    json.loads(document)


async def _shape(client: TestClient[Any, Any], path: str) -> list[tuple[str, list[str]]]:
    found = await page(client, path)
    hidden = [
        c for c in found.source if unicodedata.category(c) in ("Cc", "Cf", "Cs") and c != "\n"
    ]
    assert hidden == []
    return [(tag.name, sorted(tag.attributes)) for tag in found.tags]


@pytest.mark.parametrize("text", [HOSTILE, "x" * 100_000, "\u202e" * 5000, "</style><style>"])
async def test_what_a_remote_party_wrote_is_text_and_nothing_else(text: str) -> None:
    await check_harmless(text)


async def test_what_somebody_searches_for_is_text_as_well() -> None:
    async with site(reports.good()) as client:
        found = await page(client, str(URL("/").with_query(text='\u202e"><script>')))

    assert found.one("input", name="text").attributes["value"] == '\\u202e"><script>'
    assert not found.all("script")


def test_a_template_that_forgets_to_ask_prints_nothing_hidden_and_no_markup() -> None:
    template = _load().environment.from_string("{{ one }}")

    assert template.render(one="<b>\u202e\x1b") == r"&lt;b&gt;\u202e\x1b"
    assert len(template.render(one="x" * 10**6)) == 4096


@settings(max_examples=40)
@given(st.text(min_size=1, max_size=80))
def test_so_is_any_other_text(text: str) -> None:
    asyncio.run(check_harmless(text))


async def test_giant_values_do_not_make_giant_pages() -> None:
    async with site(hostile("x" * 60_000)) as client:
        sizes = [len((await asked(client, path))[1]) for path in ("/", "/issuers/acme")]

    assert max(sizes) < 80_000


def test_a_hostile_issuer_shows_as_text_in_the_daemon(bench: Bench, tmp_path: Path) -> None:
    """From a real server through the real probe to the page."""
    script = "<script>alert(1)</script>\u202e"
    key = {
        "kty": "RSA",
        "kid": script * 50,
        "use": script,
        "alg": script,
        "n": "AQAB",
        "e": "AQAB",
    }
    odd = "Content-Type: application/json\r\nX-Odd: <script>alert(1)</script>\r\n"
    odd += "X-Long: " + "v" * 30_000 + "\r\n"
    mismatch = bench.serve(http(discovery(issuer=script), headers=odd))
    unusable = bench.serve(None, http(json.dumps({"keys": [key] * 150}), headers=odd))
    config = tmp_path / "config.json"
    entry = {"url": ISSUER_URL, "ca_file": str(bench.pki / "root.pem")}
    config.write_text(
        json.dumps(
            {
                "defaults": {"interval": "1s"},
                "issuers": [
                    {**entry, "name": "mismatch<b>", "connect_to": f"127.0.0.1:{mismatch}"},
                    {**entry, "name": "unusable", "connect_to": f"127.0.0.1:{unusable}"},
                ],
            }
        )
    )
    with daemon(tmp_path, config) as running:
        running.until(lambda: running.ask("/-/ready")[0] == 200)
        pages = {
            path: running.ask(path)
            for path in ("/", "/issuers/mismatch%3Cb%3E", "/issuers/unusable")
        }
        document = json.loads(running.ask("/api/v1/issuers/unusable")[1])

    for status, text in pages.values():
        assert status == 200
        assert "\u202e" not in text
        assert not Page(text).all("script")
        assert not Page(text).all("b", class_="")
    assert "document/issuer_mismatch" in pages["/issuers/mismatch%3Cb%3E"][1]
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in pages["/issuers/unusable"][1]
    assert "v" * 600 not in pages["/issuers/unusable"][1]
    assert document["reports"][0]["key_set"]["published"] == 150


async def test_a_page_of_a_fleet_does_not_hold_the_loop() -> None:
    """A second task gets its turns while two thousand issuers are searched and shown."""
    many = [issuer(f"i{n}") for n in range(2000)]
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    async with site(issuers=many) as client:
        await page(client)
        other = asyncio.create_task(count())
        await page(client, "/?text=i1")
        other.cancel()

    assert turns > 10


def test_the_daemon_starts_without_the_template_engine() -> None:
    """It is loaded by the first page, in a thread."""
    code = "import sys; import exporter.app; print('jinja2' in sys.modules)"
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert ended.stdout == "False\n"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (3599, "59 min"),
        (3600, "1 h"),
        (7500, "2 h 5 min"),
        (86_400, "1 d"),
        (2 * 86_400 + 3 * 3600, "2 d 3 h"),
        (63 * 86_400 + 3600, "63 d"),
        (2_000 * 86_400, "2,000 d"),
    ],
)
def test_a_length_of_time_is_told_as_people_do(seconds: float, words: str) -> None:
    assert span(seconds) == words


@pytest.mark.parametrize("odd", [None, float("nan"), float("inf"), 1e300, -1e300])
def test_a_moment_beyond_the_calendar_is_not_known(odd: float | None) -> None:
    assert when(odd, NOW) is None


def test_a_moment_is_told_in_three_ways() -> None:
    told = when(NOW - 61, NOW)

    assert told is not None
    assert (told.ago, told.words, told.machine) == (
        "1 min",
        "2026-09-21 14:12:19 UTC",
        "2026-09-21T14:12:19Z",
    )


@given(NAMES)
def test_a_path_leads_back_to_its_name(name: str) -> None:
    path = issuer_path(name)
    before, _, query = path.partition("?")

    assert before.startswith("/issuers/")
    assert re.fullmatch(r"[\w.~%/?=+-]+", path, re.ASCII)
    assert unquote(before.removeprefix("/issuers/")) == name or query.startswith("name=")


def test_a_link_leaves_out_what_is_empty() -> None:
    assert link("/", {"a": "", "b": 2}) == "/?b=2"
    assert link("/", {"a": ""}) == "/"
    assert link("/issuers/?name=a", {"b": "c"}) == "/issuers/?name=a&b=c"


def test_every_standing_has_a_colour_and_a_shape() -> None:
    """The word stands beside them; see the macro `mark`."""
    folder = files("exporter") / "web/templates"
    style, macros = ((folder / n).read_text("utf-8") for n in ("style.css", "macros.html"))

    for standing in Standing:
        assert f"\n.{standing} {{" in style
    shapes = [part.split("%}")[1] for part in macros.partition("endmacro")[0].split("{%- el")]
    assert len(set(shapes)) == len(Standing)
