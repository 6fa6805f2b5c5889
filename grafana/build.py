"""Write the dashboards, from the exporter's own table of metrics and the shipped rules.

python -m grafana.build                  grafana/dashboards/*.json, tables of docs/dashboards.md
python -m grafana.build --check          exit 1 when one of them is stale
python -m grafana.build --output DIR --runbook-url URL      your own
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.prometheus.build import RUNBOOKS
from grafana import exporter, issuer, overview, reference, slo
from grafana.names import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from grafana.names import Json

DASHBOARDS = Path(__file__).parent / "dashboards"
PAGE = ROOT / "docs" / "dashboards.md"


def dashboards() -> Iterator[Json]:
    """The four, in the order in which somebody clicks through them."""
    yield overview.build()
    yield issuer.build()
    yield slo.build()
    yield exporter.build()


def text(dashboard: Json, runbook_url: str = RUNBOOKS) -> str:
    """*dashboard* as it is committed: sorted, so that a change is a small difference."""
    written = json.dumps(dashboard, indent=1, sort_keys=True, ensure_ascii=False)
    return written.replace(RUNBOOKS, runbook_url.rstrip("/")) + "\n"


def main(arguments: Sequence[str] | None = None) -> int | str:
    """Write, or check; what to exit with."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    add = parser.add_argument
    add("--check", action="store_true", help="write nothing; exit 1 when a file is stale")
    add("--output", type=Path, default=DASHBOARDS, metavar="DIR", help="where to write")
    add("--runbook-url", default=RUNBOOKS, metavar="URL", help="where docs/runbooks stands")
    options = parser.parse_args(arguments)
    found = {dashboard["uid"]: dashboard for dashboard in dashboards()}
    files = {
        options.output / f"{uid}.json": text(dashboard, options.runbook_url)
        for uid, dashboard in found.items()
    }
    # What somebody makes for himself is described nowhere.
    if options.output == DASHBOARDS:
        files[PAGE] = reference.refreshed(_read(PAGE), found)
    if options.check:
        stale = [path for path, wanted in files.items() if _read(path) != wanted]
        return f"stale: {', '.join(map(str, stale))}; run make docs" if stale else 0
    for path, wanted in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(wanted)
    return 0


def _read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


if __name__ == "__main__":
    sys.exit(main())
