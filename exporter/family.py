"""A metric of an issuer that can render itself: the only place where sample lines are made.

What comes out is good in both text formats, so a line is rendered once, when its report
arrives, and never again until it changes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from itertools import accumulate
from math import isfinite
from typing import TYPE_CHECKING

from exporter.metric import Metric, label_text, more_labels
from exporter.state import EDGES_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from exporter.samples import Sample
    from exporter.state import State

# OpenMetrics asks for canonical numbers here (`5.0`); the older format takes any.
_EDGES = (*map(str, EDGES_SECONDS), "+Inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Family(Metric, ABC):
    """A metric with the label `issuer`, which reads itself off an issuer's state."""

    def render(self, state: State) -> bytes:
        """Every line of one issuer; empty when the fact is unknown."""
        # `replace`: a lone surrogate must not cost a scrape, wherever it slipped in.
        return self.text(state).encode("utf-8", "replace")

    @abstractmethod
    def text(self, state: State) -> str:
        """The same before encoding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SampledFamily(Family):
    """The usual family: *samples* gives label values and numbers."""

    samples: Callable[[State], Sequence[Sample]]
    _names: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_names", self.label_names)

    def text(self, state: State) -> str:
        """A line a sample; a number that is not finite is not a fact."""
        head, names = f"{self.name}{{{state.label}", self._names
        return "".join(
            [
                f"{head}{more_labels(names, values)}}} {number}\n"
                for values, number in self.samples(state)
                if isfinite(number)
            ]
        )


class InfoFamily(Family):
    """One series with labels of the operator's own, which no table can name."""

    __slots__ = ()

    def text(self, state: State) -> str:
        """One line, always."""
        labels = label_text({"url": state.issuer.url, **dict(state.issuer.labels)})
        return f"{self.name}{{{state.label},{labels}}} 1\n"


class LatencyFamily(Family):
    """The histogram of all probes, summed up as the formats want it."""

    __slots__ = ()

    def text(self, state: State) -> str:
        """A line a bucket, the sum and the count, always."""
        name, label = self.name, state.label
        numbers = list(accumulate(state.latency.counts))
        lines = [
            f'{name}_bucket{{{label},le="{edge}"}} {number}\n'
            for edge, number in zip(_EDGES, numbers, strict=True)
        ]
        lines.append(f"{name}_sum{{{label}}} {state.latency.sum_seconds}\n")
        lines.append(f"{name}_count{{{label}}} {numbers[-1]}\n")
        return "".join(lines)
