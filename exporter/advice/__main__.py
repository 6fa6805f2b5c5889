"""`python -m exporter.advice FILE...` writes the tables in Markdown files anew."""

from __future__ import annotations

import sys
from pathlib import Path

from exporter.advice.tables import refreshed

for path in map(Path, sys.argv[1:]):
    path.write_text(refreshed(path.read_text("utf-8")), "utf-8")
