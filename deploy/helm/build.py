"""Write what the chart takes from elsewhere: rules, dashboards, the schema of `config`, docs.

    python -m deploy.helm.build              files/, values.schema.json, README.md
    python -m deploy.helm.build --check      exit 1 when one of them is stale

A chart is packed as one folder, so what it installs has to stand in it. Of the schema only
`config` and its definitions are written here, of the README only the table of values.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import yaml

from exporter.config import json_schema

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).parent.parent.parent
CHART = Path(__file__).parent / "oidc-issuer-exporter"
RULES = ROOT / "deploy" / "prometheus" / "prometheusrule.yaml"
DASHBOARDS = ROOT / "grafana" / "dashboards"

_LINE = re.compile(r"^(?P<indent> *)(?:# -- (?P<text>.*)|(?P<key>\w+):.*)$")
_TABLE = re.compile(r"(?<=<!-- BEGIN values -->\n).*(?=<!-- END values -->)", re.DOTALL)
_LOOKAHEAD = re.compile(r"\(\?[=!](?:[^()]|\([^()]*\))*\)")


def rules(text: str) -> str:
    """What stands below `spec` in the PrometheusRule *text*, to the letter."""
    spec = text.partition("spec:\n")[2]
    return f"# Generated: make docs\n{dedent(spec)}"


def schema(text: str) -> str:
    """The values' schema *text* with the exporter's own in the place of `config`."""
    wanted = json.loads(text)
    config = _without_lookahead(json_schema())
    del config["$schema"]
    # Where `$ref` looks for them.
    wanted["$defs"] = config.pop("$defs")
    wanted["properties"]["config"] = config
    return json.dumps(wanted, indent=2) + "\n"


def _without_lookahead(value: Any) -> Any:  # noqa: ANN401 - whatever stands in JSON
    # Helm's regular expressions are Go's, which have none; the exporter looks again.
    match value:
        case dict():
            return {_plain(key): _without_lookahead(item) for key, item in value.items()}
        case list():
            return [_without_lookahead(item) for item in value]
        case str():
            return _plain(value)
    return value


def _plain(text: str) -> str:
    return _LOOKAHEAD.sub("", text)


def table(values: str) -> str:
    """The keys of *values* with their defaults and what their comments say, as Markdown."""
    rows = [f"| `{key}` | {default} | {text} |\n" for key, default, text in documented(values)]
    return "".join(["| key | default | meaning |\n", "| --- | --- | --- |\n", *rows])


def documented(values: str) -> Iterator[tuple[str, str, str]]:
    """Key, default and text of all in *values* whose comment begins with two dashes."""
    defaults = yaml.safe_load(values)
    path: list[str] = []
    text = None
    for line in values.splitlines():
        found = _LINE.match(line)
        if found is None:
            continue
        if found["text"]:
            text = found["text"]
            continue
        path[len(found["indent"]) // 2 :] = [found["key"]]
        if text is not None:
            yield ".".join(path), _default(defaults, path), text
        text = None


def _default(defaults: Any, path: Sequence[str]) -> str:  # noqa: ANN401 - whatever YAML has
    for key in path:
        defaults = defaults[key]
    written = json.dumps(defaults)
    # What is longer is read better in values.yaml.
    longest = 60
    return f"`{written}`" if len(written) <= longest else "see `values.yaml`"


def shipped() -> Iterator[tuple[Path, str]]:
    """Every file that is written here, as it should be."""
    yield CHART / "files" / "rules.yaml", rules(RULES.read_text())
    for path in sorted(DASHBOARDS.glob("*.json")):
        # On one line: in a ConfigMap nobody reads it, and indentation is half of it.
        packed = json.dumps(json.loads(path.read_text()), separators=(",", ":"))
        yield CHART / "files" / "dashboards" / path.name, packed + "\n"
    path = CHART / "values.schema.json"
    yield path, schema(path.read_text())
    path = CHART / "README.md"
    values = table((CHART / "values.yaml").read_text())
    yield path, _TABLE.sub(lambda _: values, path.read_text())


def main(arguments: Sequence[str] | None = None) -> int | str:
    """Write, or check; what to exit with."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit 1 when a file is stale"
    )
    files = dict(shipped())
    if parser.parse_args(arguments).check:
        stale = [path for path, text in files.items() if _read(path) != text]
        # A dashboard that is no longer there would be installed for ever.
        stale += set((CHART / "files").rglob("*.*")) - files.keys()
        return f"stale: {', '.join(map(str, stale))}; run make docs" if stale else 0
    for path in set((CHART / "files").rglob("*.*")) - files.keys():
        path.unlink()
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return 0


def _read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


if __name__ == "__main__":
    sys.exit(main())
