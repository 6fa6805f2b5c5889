"""HTML out of templates: the only place that knows Jinja, and what a page may load and do.

Jinja takes longer to load than a daemon to start, so it is loaded with the first page, in a
thread. Whatever a template prints is made visible (`exporter.text.clean`) and then escaped;
no template has to ask for it.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from aiohttp import web

from exporter import __version__
from exporter.facts import moment
from exporter.text import clean
from exporter.web import REFRESH_SECONDS
from exporter.web.pacing import paced

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jinja2 import Environment, Template

#: No honest value comes close; templates cut closer where it shows.
_LONGEST_VALUE = 4096
_TEMPLATES = "web/templates"


@dataclass(frozen=True, slots=True)
class _Loaded:
    """The environment, and the headers that its style sheet asks for."""

    environment: Environment
    headers: Mapping[str, str]

    def template(self, name: str) -> Template:
        return self.environment.get_template(name)


async def response(name: str, view: Mapping[str, object], *, status: int = 200) -> web.Response:
    """The template *name* filled in with *view*, as an answer, without holding the loop."""
    template, headers = await asyncio.to_thread(_ready, name)
    pieces = [piece async for piece in paced(template.generate(view))]
    return web.Response(
        body="".join(pieces).encode(),
        status=status,
        content_type="text/html",
        charset="utf-8",
        headers=headers,
    )


def _ready(name: str) -> tuple[Template, Mapping[str, str]]:
    loaded = _load()
    return loaded.template(name), loaded.headers


@cache
def _load() -> _Loaded:
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415
    from markupsafe import Markup  # noqa: PLC0415

    style = (files("exporter") / _TEMPLATES / "style.css").read_text("utf-8")
    environment = Environment(
        loader=PackageLoader("exporter", _TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.globals |= {
        "style": Markup(style),  # noqa: S704 - a file of our own
        "version": __version__,
        "refresh_seconds": REFRESH_SECONDS,
    }
    environment.filters |= {"cut": clean, "marked": _marked, "moment": moment}
    return _Loaded(environment, _headers(style))


def _headers(style: str) -> Mapping[str, str]:
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    # Nothing but the page's own style and its icon: a hostile document that got past
    # escaping would still have nothing to load, to run or to send to.
    policy = (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
    return {"Content-Security-Policy": policy, "Cache-Control": "no-store"}


def _visible(value: object) -> object:
    is_text = isinstance(value, str) and not hasattr(value, "__html__")
    return clean(str(value), _LONGEST_VALUE) if is_text else value


def _marked(text: str) -> str:
    """*text* with what stands between backquotes as code."""
    from markupsafe import Markup  # noqa: PLC0415

    parts = clean(text, _LONGEST_VALUE).split("`")
    forms = (Markup("{}"), Markup("<code>{}</code>"))
    return Markup().join(forms[n % 2].format(part) for n, part in enumerate(parts))
