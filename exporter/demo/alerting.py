"""The demo's alerts, as its parent sees them: what would be missing, and where to look."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from exporter.demo import programs
from exporter.demo.process import child
from exporter.demo.wiring import is_shipped

if TYPE_CHECKING:
    from collections.abc import Iterator

_PACKAGES = {
    "prometheus": programs.PROMETHEUS,
    "prometheus-alertmanager": programs.ALERTMANAGER,
}

_RUNNING = """\
The alerts, by the very files of {deploy}:

  Prometheus             {prometheus}/alerts
  Alertmanager           amtool --alertmanager.url={alertmanager} alert
  What it delivers       is printed here, for a pager and others that this terminal stands for

The first page comes after some minutes, as in earnest: an alert has to last, and a message
waits for what belongs into it."""


@contextmanager
def alerting(exporter_url: str) -> Iterator[str]:
    """Run Prometheus and Alertmanager on the exporter at *exporter_url*, where installed.

    Yields what to tell the person who started the demo.
    """
    wanting = _wanting()
    if wanting:
        yield f"No alerts here: {wanting}"
        return
    with child("exporter.demo.stack", exporter_url.removeprefix("http://")) as place:
        yield _RUNNING.format(**place) if place else "No alerts here, for the reason above."


def _wanting() -> str:
    """What is missing for alerts, in a sentence; empty when nothing is."""
    if not is_shipped():
        return (
            "the folder deploy/ of the project's repository, with the rules and the routing, "
            "does not lie beside this package."
        )
    packages = [name for name, names in _PACKAGES.items() if not programs.program(names)]
    if not packages:
        return ""
    return (
        "Prometheus or Alertmanager is not installed. On Debian or Ubuntu:\n"
        f"  sudo apt-get install --no-install-recommends {' '.join(packages)}"
    )
