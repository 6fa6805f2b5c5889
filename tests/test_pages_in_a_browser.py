"""The pages in a real browser: narrow and wide, light and dark, no scripts, by keyboard."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from exporter.reasons import Code
from exporter.web.routes import Site, application
from tests import builders, reports
from tests.browser import INSTALL, Browser, chromium
from tests.site import filled
from tests.test_pages import HOSTILE, hostile

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from exporter.store import Store
    from tests.browser import Page

PHONE, DESK = 390, 1280
LONG = "issuer-" + "very-" * 40 + "long"
#: One of each state, hostile texts and a long name among them.
PATHS = ["/", "/issuers/slow", "/issuers/expired", "/issuers/hostile", f"/issuers/{LONG}"]


@pytest.fixture(scope="module")
def devtools(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with chromium(tmp_path_factory.mktemp("chromium")) as address:
        yield address


@pytest.fixture
async def browser(devtools: str) -> AsyncIterator[Browser]:
    async with Browser.connect(devtools) as connected:
        yield connected


@pytest.fixture
async def base() -> AsyncIterator[str]:
    """Where the site of a small fleet of all kinds listens."""
    async with TestServer(application(site(fleet()))) as server:
        yield f"http://127.0.0.1:{server.port}"


def site(store: Store) -> Site:
    return Site(store=store, waiting=lambda: (), reload=None)


def fleet() -> Store:
    risky = builders.report(findings=(builders.finding(Code.NO_CACHE),))
    seen = {
        "good": reports.good(),
        "slow": reports.slow(),
        "expired": reports.expired(),
        "risky": risky,
        "hostile": hostile(HOSTILE + "x" * 3000),
        LONG: reports.good(),
    }
    issuers = {
        name: builders.issuer(name=name, url=f"https://{name}.test", labels=(("team", "a b"),))
        for name in [*seen, "new"]
    }
    made = [replace(report, issuer=issuers[name]) for name, report in seen.items()]
    earlier = [replace(one, started_timestamp_seconds=builders.NOW - 60) for one in made]
    return filled(*earlier, *made, issuers=issuers.values())


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path[:20])
@pytest.mark.parametrize("width", [320, PHONE, 820, DESK])
async def test_nothing_is_wider_than_the_screen(
    browser: Browser, base: str, path: str, width: int
) -> None:
    async with browser.page(width=width) as page:
        await page.open(base + path)

        assert await page.value("document.documentElement.scrollWidth") <= width
        assert await page.value("innerWidth") == width


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path[:20])
async def test_a_page_asks_for_nothing_else_and_nobody_complains(
    browser: Browser, base: str, path: str
) -> None:
    async with browser.page() as page:
        await page.open(base + path)

        assert page.statuses == [200]
        assert page.complaints == []
        assert [url for url in page.requests if not url.startswith("data:")] == [base + path]
        # The style sheet is in force: its hash is the one that the policy names.
        assert await page.value("getComputedStyle(document.body).marginTop") == "0px"


async def test_the_browser_would_complain(browser: Browser) -> None:
    """Of all that the test before takes for granted."""

    async def bad(_request: web.Request) -> web.Response:
        return web.Response(
            text="<p style='color:red'>x<script>alert(1)</script><img src=/y>",
            content_type="text/html",
            headers={"Content-Security-Policy": "default-src 'none'"},
        )

    app = web.Application()
    app.add_routes([web.get("/", bad)])
    async with TestServer(app) as server, browser.page() as page:
        await page.open(f"http://127.0.0.1:{server.port}/")
        told = " ".join(page.complaints)

    assert all(word in told for word in ("style-src", "script-src", "img-src"))


#: Every element with text of its own whose contrast is below WCAG's AA (1.4.3).
CONTRAST = """
(() => {
  const rgb = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
  const light = (c) => {
    const [r, g, b] = c.slice(0, 3).map((v) => v / 255)
      .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (node) => {
    for (; node; node = node.parentElement) {
      const c = rgb(getComputedStyle(node).backgroundColor);
      if (c.length === 3 || c[3] === 1) return c;
      if (c[3] > 0) throw new Error("half transparent: " + node.outerHTML);
    }
    return [255, 255, 255];
  };
  document.querySelectorAll("details").forEach((d) => { d.open = true; });
  let seen = 0;
  const bad = [...document.body.querySelectorAll("*")].filter((e) => {
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    if (!own || !e.checkVisibility() || e.closest(".hidden")) return false;
    seen += 1;
    const style = getComputedStyle(e);
    const svg = e instanceof SVGElement;
    const [a, b] = [light(rgb(svg ? style.fill : style.color)), light(behind(e))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    return ratio < (large ? 3 : 4.5);
  }).map((e) => e.outerHTML.slice(0, 120));
  return JSON.stringify({seen, bad});
})()
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", ["/", "/?state=usable", *PATHS[1:3]])
async def test_every_text_can_be_read(
    browser: Browser, base: str, path: str, scheme: str
) -> None:
    async with browser.page(scheme=scheme) as page:
        await page.open(base + path)
        found = json.loads(await page.value(CONTRAST))

    assert found["bad"] == []
    assert found["seen"] > 20


async def test_dark_is_dark_and_light_is_light(browser: Browser, base: str) -> None:
    shades = []
    for scheme in ("dark", "light"):
        async with browser.page(scheme=scheme) as page:
            await page.open(base)
            colour = await page.value("getComputedStyle(document.body).backgroundColor")
            shades.append(max(map(int, colour.strip("rgb()").split(","))))

    dark, light = shades
    assert dark < 60
    assert light > 200


FOCUS = """
(() => {
  const e = document.activeElement, s = getComputedStyle(e), box = e.getBoundingClientRect();
  return JSON.stringify({
    text: (e.innerText || e.name || e.tagName).trim().split("\\n")[0],
    outline: s.outlineStyle === "none" ? 0 : parseFloat(s.outlineWidth),
    top: box.top, bottom: box.bottom, height: innerHeight,
  });
})()
"""


async def tabbed(page: Page, times: int) -> list[dict[str, Any]]:
    found = []
    for _ in range(times):
        await page.press("Tab")
        found.append(json.loads(await page.value(FOCUS)))
    return found


async def test_the_keyboard_gets_everywhere_in_the_order_of_the_page(
    browser: Browser, base: str
) -> None:
    async with browser.page() as page:
        await page.open(base)
        found = await tabbed(page, 20)

    words = [one["text"] for one in found]
    assert words[:6] == [
        "Skip to the content",
        "OIDC issuer exporter",
        "Metrics",
        "JSON",
        "Healthy",
        "Ready",
    ]
    assert words[6] == "stop"
    assert words[7:12] == ["all", "not usable", "at risk", "usable", "not probed"]
    assert words[12:16] == ["text", "Filter", "Issuer", "State"]
    for one in found:
        assert one["outline"] >= 2, one
        assert 0 <= one["top"] < one["bottom"] <= one["height"], one


async def test_the_skip_link_skips(browser: Browser, base: str) -> None:
    async with browser.page() as page:
        await page.open(base)
        await tabbed(page, 1)
        await page.press("Enter")
        assert await page.value("document.activeElement.id") == "content"
        (after,) = await tabbed(page, 1)

    assert after["text"] == "stop"


async def test_without_scripts_it_filters_sorts_and_leads_on(
    browser: Browser, base: str
) -> None:
    async with browser.page(scripts=False) as page:
        await page.open(base)
        await page.value("document.querySelector('#text').focus()")
        await page.call("Input.insertText", text="too late")
        await page.press("Enter")
        await page.loaded()
        assert await names(page) == ["slow"]
        assert await page.value("location.search") == "?text=too+late&sort=state"

        await follow(page, "thead a", 0)
        assert await names(page) == ["slow"]
        assert await page.value("location.search") == "?text=too+late&sort=name"

        await follow(page, ".issuers tbody a", 0)
        assert await page.value("document.querySelector('h1').innerText") == "slow"

        await follow(page, ".entries a[href*=report]", 0)
        assert "earlier report" in await page.value("document.body.innerText")
        assert page.complaints == []


async def names(page: Page) -> list[str]:
    rows = "[...document.querySelectorAll('.issuers tbody th a')].map(e => e.innerText)"
    return list(await page.value(rows))


async def follow(page: Page, selector: str, number: int) -> None:
    """By keyboard: the focus is put there, and Enter pressed."""
    await page.value(f"document.querySelectorAll({selector!r})[{number}].focus()")
    await page.press("Enter")
    await page.loaded()


async def test_on_a_phone_the_list_can_be_sorted_too(browser: Browser, base: str) -> None:
    """Where the headings are not shown there is a choice beside the filter."""
    async with browser.page(width=PHONE, scripts=False) as page:
        await page.open(base)
        assert await page.value("document.querySelector('#sort').checkVisibility()") is True
        await page.value("document.querySelector('#sort').value = '-time'")
        await follow(page, "form button", 0)

        assert (await names(page))[0] == "slow"


@pytest.mark.parametrize("width", [PHONE, DESK])
async def test_the_list_is_a_table_to_who_cannot_see_it(
    browser: Browser, base: str, width: int
) -> None:
    """Also where it does not look like one."""
    async with browser.page(width=width) as page:
        await page.open(base)
        await page.call("Accessibility.enable")
        tree = (await page.call("Accessibility.getFullAXTree"))["nodes"]

    shown = [node for node in tree if not node["ignored"]]
    roles = [node["role"]["value"] for node in shown]
    assert roles.count("table") == 1
    assert roles.count("row") == 8
    assert roles.count("rowheader") == 7
    assert roles.count("columnheader") == 8
    assert {"banner", "main", "navigation", "search", "contentinfo"} <= set(roles)
    nameless = [
        node
        for node in shown
        if node["role"]["value"] in ("link", "button", "searchbox", "combobox", "table")
        and not node["name"]["value"].strip()
    ]
    assert nameless == []


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path[:20])
async def test_no_identifier_stands_twice_and_every_reference_leads_somewhere(
    browser: Browser, base: str, path: str
) -> None:
    async with browser.page() as page:
        await page.open(base + path)
        ids = await page.value("[...document.querySelectorAll('[id]')].map(e => e.id)")
        used = await page.value(
            "[...document.querySelectorAll('[aria-labelledby],[for]')]"
            ".map(e => e.getAttribute('aria-labelledby') || e.htmlFor)"
        )

    assert len(ids) == len(set(ids))
    assert set(used) <= set(ids)


async def test_what_a_remote_party_wrote_runs_nothing_and_turns_nothing_round(
    browser: Browser, base: str
) -> None:
    async with browser.page() as page:
        await page.open(f"{base}/issuers/hostile")
        text = await page.value("document.body.innerText")
        scripts = await page.value("document.querySelectorAll('script, img, iframe').length")

    assert page.complaints == []
    assert scripts == 0
    assert "<script>alert(1)</script>" in text
    assert r"\u202e\u2066\x00\x1b[31m\r\n\ud800" in text


async def test_the_list_comes_again_by_itself(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refreshed by the page itself, with what was chosen."""
    monkeypatch.setattr("exporter.web.overview.REFRESH_SECONDS", 1)
    store = fleet()
    async with (
        TestServer(application(site(store))) as server,
        browser.page(scripts=False) as page,
    ):
        await page.open(f"http://127.0.0.1:{server.port}/?text=good&state=usable")
        assert await names(page) == ["good"]
        store.keep([builders.issuer(name="as good", url="https://as-good.test")])
        store.record(
            builders.report(issuer=builders.issuer(name="as good", url="https://as-good.test"))
        )
        await page.loaded()

        assert await names(page) == ["as good"]
        assert page.statuses == [200, 200]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [PHONE, DESK])
async def test_pictures_of_the_pages_can_be_looked_at(
    browser: Browser, base: str, tmp_path: Path, width: int, scheme: str
) -> None:
    """They stand below pytest's --basetemp, for who changes the design."""
    async with browser.page(width=width, scheme=scheme) as page:
        for name, path in (("overview", "/"), ("issuer", "/issuers/slow")):
            await page.open(base + path)
            picture = tmp_path / f"{name}-{width}-{scheme}.png"
            await page.screenshot(picture, whole=True)

            assert picture.stat().st_size > 20_000


def test_a_missing_browser_is_said_with_the_command_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")

    with pytest.raises(AssertionError, match=INSTALL), chromium(tmp_path):
        pass
