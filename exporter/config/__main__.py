"""`python -m exporter.config DOCS` writes the reference in the folder *DOCS* anew."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from exporter.config.reference import json_schema, refreshed

for docs in map(Path, sys.argv[1:]):
    page = docs / "configuration.md"
    page.write_text(refreshed(page.read_text("utf-8")), "utf-8")
    schema = json.dumps(json_schema(), indent=2, ensure_ascii=False)
    (docs / "config.schema.json").write_text(f"{schema}\n", "utf-8")
