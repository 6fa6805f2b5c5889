"""Alerts fire and stay silent as their cases say: promtool's own tests of the shipped rules.

In a file of their own, which comes early: nothing else keeps a processor busy for as long.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.stack import tool

CASES = Path(__file__).parent.parent / "deploy" / "prometheus" / "tests"


@pytest.mark.parametrize("path", sorted(CASES.glob("*.test.yaml")), ids=lambda path: path.name)
def test_alerts_fire_and_stay_silent_as_their_cases_say(path):
    run = subprocess.run(
        [tool("promtool", "prometheus"), "test", "rules", path],
        capture_output=True,
        text=True,
        check=False,
        # Fewer collections of garbage: a fifth of the time, for some megabytes more.
        env=os.environ | {"GOGC": "400"},
    )

    assert run.returncode == 0, run.stdout + run.stderr
