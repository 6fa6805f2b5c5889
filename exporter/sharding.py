"""Which issuers are this exporter's own, when several share one list of them.

By a jump consistent hash of the issuer's name, as kube-state-metrics shards its objects:
every exporter finds its share without asking the others, and a further shard takes from
each of the older ones what it needs and leaves the rest where it was.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from exporter.config import Config
    from exporter.model import Issuer

# The linear congruential generator of the paper, and its range.
_MULTIPLIER = 2862933555777941757
_MASK = 2**64 - 1

_ORDINAL = re.compile(r"-(0|[1-9][0-9]{0,9})$")


class ShardError(Exception):
    """The flags name no shard; the message says why, and what to write."""


@dataclass(frozen=True, slots=True)
class Shard:
    """The place of one exporter among those that share a list; alone unless told otherwise."""

    ordinal: int = 0
    total: int = 1

    def of(self, config: Config) -> Config:
        """*config* with the issuers of this shard only; its hash stays that of the files."""
        if self.total == 1:
            return config
        issuers = tuple(i for i in config.issuers if home(i, self.total) == self.ordinal)
        return replace(config, issuers=issuers)


#: All issuers in one exporter.
WHOLE = Shard()


def home(issuer: Issuer, total: int) -> int:
    """The shard out of *total* that probes *issuer*.

    Source: Lamping and Veach, "A Fast, Minimal Memory, Consistent Hash Algorithm", 2014.
    """
    # Not the bytes that choose its place in the interval: a shard spreads its probes, too.
    digest = hashlib.sha256(issuer.name.encode()).digest()
    return jump(int.from_bytes(digest[8:16]), total)


def jump(key: int, total: int) -> int:
    """The bucket out of *total* for a *key* of 64 bits."""
    bucket, following = 0, 0
    while following < total:
        bucket = following
        key = (key * _MULTIPLIER + 1) & _MASK
        following = int((bucket + 1) * (2**31 / ((key >> 33) + 1)))
    return bucket


def sizes(issuers: Iterable[Issuer], total: int) -> tuple[int, ...]:
    """How many of *issuers* each of *total* shards has."""
    number = Counter(home(issuer, total) for issuer in issuers)
    return tuple(number[ordinal] for ordinal in range(total))


def own_shard(ordinal: int | None, total: int, *, pod: str) -> Shard:
    """The shard that the flags mean; without *ordinal* the one that *pod* ends in.

    A StatefulSet numbers its pods from 0: `oidc-issuer-exporter-2` is the third.

    Raises:
        ShardError: They contradict each other, or the pod's name has no number.
    """
    if total == 1 and ordinal is None:
        return WHOLE
    source = f"--shard={ordinal}"
    if ordinal is None:
        found = _ORDINAL.search(pod)
        if found is None:
            raise ShardError(
                f"--total-shards={total} needs --shard: {pod!r}, the pod's name ($POD_NAME) or "
                "the host's, does not end in a number as those of a StatefulSet do"
            )
        ordinal, source = int(found[1]), f"the pod's name {pod!r}"
    if ordinal >= total:
        raise ShardError(
            f"{source} is beyond --total-shards={total}: they count from 0 to {total - 1}"
        )
    return Shard(ordinal, total)
