"""The landing page."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

from exporter.reasons import Reason, Stage
from exporter.state import State
from exporter.web.landing import ROWS, Link, page
from tests import builders

LINKS = (Link(path="/metrics", text="metrics"),)


def state(name: str = "acme", url: str = builders.URL, **report: Any) -> State:
    issuer = builders.issuer(name=name, url=url)
    made = State(issuer)
    if report.pop("is_probed", True):
        made.follow(builders.report(issuer=issuer, **report))
    return made


class Table(HTMLParser):
    """The page's rows as text, and every tag that was met."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.is_over = False
        self.feed(text)

    def handle_endtag(self, tag: str) -> None:
        self.is_over = self.is_over or tag == "table"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value or "" for key, value in attrs if key == "href"]
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        if self.rows and not self.is_over:
            self.rows[-1][-1] += data.strip()


def test_every_issuer_has_a_row_and_failing_ones_stand_first() -> None:
    good = state("good", "https://good.example.com")
    new = state("new", "https://new.example.com", is_probed=False)
    bad = state(
        "bad",
        "https://bad.example.com",
        failure=builders.failure(Stage.DNS, Reason.NXDOMAIN, detail="no such name"),
        duration_seconds=0.01,
    )

    text = page([good, new, bad], LINKS, prefix="")

    head, *rows = Table(text).rows
    assert head == ["Issuer", "State", "Cause", "Since", "Time"]
    (name, failing, cause, since, time), *others = rows
    assert (name, failing, time) == ("badhttps://bad.example.com", "failing", "0.010 s of 5 s")
    assert cause.endswith("discovery dns/nxdomain: no such name")
    assert since == "2026-09-21 14:13:20 UTC"
    assert others == [
        ["goodhttps://good.example.com", "usable", "", "", "0.300 s of 5 s"],
        ["newhttps://new.example.com", "not probed yet", "", "", ""],
    ]
    assert "3 of 3 issuers, 1 failing" in text


def test_what_a_remote_party_wrote_is_text_and_nothing_else() -> None:
    hostile = '<script>alert("1")</script>\u202e\x1b[31m'
    failing = state(
        name='<img src=x onerror="x">',
        failure=builders.failure(detail=hostile),
    )

    text = page([failing], LINKS, prefix='/"><script>')

    assert not {"script", "img"} & Table(text).tags
    assert not {"\u202e", "\x1b"} & set(text)
    assert Table(text).rows[1][0].startswith("<img src=x")


def test_links_lead_below_the_path_of_the_proxy() -> None:
    assert Table(page([], LINKS, prefix="/oidc")).links == ["/oidc/metrics"]


def test_the_page_of_a_fleet_is_bounded_and_shows_what_fails() -> None:
    good = [state(f"good-{n}") for n in range(2 * ROWS)]
    bad = state("bad", failure=builders.failure())

    text = page([*good, bad], LINKS, prefix="")

    rows = Table(text).rows[1:]
    assert len(rows) == ROWS
    assert rows[0][1] == "failing"
    assert f"{ROWS} of {2 * ROWS + 1} issuers, 1 failing" in text


def test_a_moved_issuer_shows_no_time_it_has_not_failed_since() -> None:
    moved = state(failure=replace(builders.failure(), detail=""))
    moved.failing_since_timestamp_seconds = None

    row = Table(page([moved], LINKS, prefix="")).rows[1]

    assert re.fullmatch(r".+discovery tcp/refused", row[2])
    assert row[3] == ""
