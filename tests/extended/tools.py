"""The Go programs of `make check-extended`, and what they are run on."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.manifests import ROOT, VERSIONS

if TYPE_CHECKING:
    from pathlib import Path

TOOLS = ROOT / ".bench" / "go"
CHART = ROOT / "deploy" / "helm" / "oidc-issuer-exporter"
VALUES = sorted(
    path.name.removesuffix("-values.yaml") for path in CHART.glob("ci/*-values.yaml")
)


def go_tool(name: str) -> Path:
    """A program that scripts/go-tools.sh has built."""
    found = TOOLS / name
    if not found.exists():
        pytest.fail(f"{name} is missing: make check-extended builds it")
    return found


def template(*arguments: str, chart: Path = CHART) -> str:
    """The chart, rendered."""
    done = subprocess.run(
        [
            *(go_tool("helm"), "template", "release", chart, "--namespace=monitoring"),
            *("--kube-version", VERSIONS[-1], *arguments),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
