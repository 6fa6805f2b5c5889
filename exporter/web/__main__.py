"""`python -m exporter.web PAGE` writes the tables of the web configuration's docs anew."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from exporter.config.reference import refreshed
from exporter.config.schema import Section
from exporter.web.schema import HeadersSection, HttpSection, RateSection, TlsSection, WebFile

if TYPE_CHECKING:
    from exporter.config.reference import Tables

TABLES: Tables = {
    "top": (WebFile, Section),
    "tls": (TlsSection, Section),
    "http": (HttpSection, Section),
    "headers": (HeadersSection, Section),
    "rate": (RateSection, Section),
}

for page in map(Path, sys.argv[1:]):
    page.write_text(refreshed(page.read_text("utf-8"), TABLES), "utf-8")
