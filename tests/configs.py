"""Configuration files to be read, and what is said of bad ones."""

from __future__ import annotations

from inspect import cleandoc
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from exporter.config import ConfigError, load

if TYPE_CHECKING:
    from collections.abc import Iterable

URL = "https://a.example.com"
EXAMPLE = Path(__file__).parent.parent / "config.example.yaml"
#: One file for each kind of slip; its first lines say what is said of it.
BAD = Path(__file__).parent / "data" / "config"


def write(folder: Path, text: str, name: str = "config.yaml") -> Path:
    """The path of a new file *name* below *folder* that holds *text*, moved to the left."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(cleandoc(text), "utf-8")
    return path


def problems(*paths: Path) -> list[str]:
    """What is said of *paths*, with the folder of the first one left out."""
    with pytest.raises(ConfigError) as caught:
        load(paths)
    folder = str(paths[0].parent)
    assert str(caught.value) == "\n".join(caught.value.problems)
    return [p.replace(f"{folder}/", "").replace(folder, "") for p in caught.value.problems]


def keys(value: object) -> set[str]:
    """Every key anywhere in *value*."""
    match value:
        case dict():
            return _all(value.values()) | set(value)
        case list():
            return _all(value)
        case _:
            return set()


def _all(values: Iterable[object]) -> set[str]:
    return set().union(*map(keys, values))
