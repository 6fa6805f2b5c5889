"""The order a newcomer reads the package in is the order it may import in."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(__file__).parent.parent / "exporter"

# A folder of modules has one place; demo and aws stand beside the line and may use it all.
PARTS = {
    "words and facts": "reasons model",
    "configuration": "durations config",
    "judgement": "text urls caching codings strict_json material keys documents chain findings"
    " judge advice",
    "the network": "clock faults resolve trust transport exchange fetch tls12 probe",
    "keeping": "metric history state samples family families own_metrics store exposition reply"
    " catalogue",
    "telling": "wording facts waterfall terminal report_json summary",
    "running": "deadlines sharding notify guard schedule log on_demand web book vitals app",
    "the command": "argument_types web_arguments arguments check cli healthcheck",
}
ORDER = [module for modules in PARTS.values() for module in modules.split()]
BESIDE = {"demo", "aws"}


def place(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[str]:
    """Everything *path* imports, whichever way it spells the import."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import hides its place"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


MODULES = [
    path
    for path in sorted(PACKAGE.rglob("*.py"))
    if place(path) not in {"__init__", "__main__", *BESIDE}
]


def test_every_module_has_a_place_in_the_order():
    assert {place(path) for path in MODULES} == set(ORDER)
    assert len(ORDER) == len(set(ORDER))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_from_above(path: Path):
    """Also for its type annotations: a cycle that only a type checker sees is still one."""
    own = place(path)
    used = {name.split(".")[1] for name in imports(path) if name.startswith("exporter.")}

    assert used - {own, "__version__"} - BESIDE <= set(ORDER[: ORDER.index(own)])


def test_only_the_command_line_knows_the_demo():
    """A daemon must not load, nor a reader need, what is there to be looked at."""
    users = {
        place(path)
        for path in MODULES
        for name in imports(path)
        if name.startswith(tuple(f"exporter.{part}" for part in BESIDE))
    }

    assert users <= {"cli"}
