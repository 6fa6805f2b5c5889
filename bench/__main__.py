"""`python -m bench`: run the measurements and print the table."""

from __future__ import annotations

import argparse
import re
import signal
import sys
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bench import accuracy, cpu, figures, fleet, scrape, start
from bench.process import ROOT, BenchError

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.figures import Row

_REPORT = ROOT / ".bench" / "report.md"
_PAGE = ROOT / "docs" / "performance.md"
_PLACE = re.compile(r"(?<=<!-- measured -->\n).*(?=<!-- /measured -->)", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is measured."""

    rates: tuple[int, ...]
    rounds: int
    seconds: float
    issuers: int


_FULL = Size(rates=(50, 100, 200), rounds=3, seconds=6, issuers=10_000)
_QUICK = Size(rates=(100,), rounds=1, seconds=6, issuers=2_000)

_PARTS: dict[str, Callable[[Size], list[Row]]] = {
    "start": lambda size: start.measure((10, size.issuers), rounds=size.rounds),
    "cpu": lambda size: cpu.measure(size.rates, rounds=size.rounds),
    "accuracy": lambda size: accuracy.measure(100, rounds=size.rounds),
    "fleet": lambda size: fleet.measure(
        size.issuers, 100, rounds=size.rounds, seconds=size.seconds
    ),
    "scrape": lambda size: scrape.measure(size.issuers, rounds=3 * size.rounds),
}


def main() -> None:
    """Run the named parts, or all of them."""
    arguments = _parser().parse_args()
    size = _QUICK if arguments.quick else _FULL
    size = replace(size, rates=tuple(arguments.rates or size.rates))
    # A terminated benchmark leaves through its `finally` clauses, as with Ctrl-C.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench: terminated"))
    begun, machine = time.monotonic(), figures.machine()
    rows: list[Row] = []
    try:
        for part in arguments.parts or _PARTS:
            print(f"{part} ...", file=sys.stderr, flush=True)
            rows += _PARTS[part](size)
    except BenchError as error:
        sys.exit(f"bench: {error}")
    except KeyboardInterrupt:
        sys.exit("bench: interrupted")
    text = f"{machine}\n\n{figures.table(rows)}"
    _write(text, into_page=arguments.write)
    print(f"{text}\n{time.monotonic() - begun:.0f} s in all; also in {_REPORT}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="part", help=", ".join(_PARTS))
    parser.add_argument("--quick", action="store_true", help="once, one rate, fewer issuers")
    parser.add_argument(
        "--rate",
        type=int,
        action="append",
        dest="rates",
        metavar="N",
        help="checks a second at which CPU is measured (repeatable)",
    )
    parser.add_argument(
        "--write", action="store_true", help="also put the table into docs/performance.md"
    )
    return parser


def _write(text: str, *, into_page: bool) -> None:
    _REPORT.parent.mkdir(exist_ok=True)
    _REPORT.write_text(text)
    if into_page:
        page = _PAGE.read_text()
        _PAGE.write_text(_PLACE.sub(lambda _: f"\n{text}\n", page))


if __name__ == "__main__":
    main()
