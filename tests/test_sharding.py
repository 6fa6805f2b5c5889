"""Shards share a list of issuers: each has one home, whoever asks, and moves seldom."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.config import Config, Limits
from exporter.deadlines import offset_seconds
from exporter.sharding import Shard, ShardError, home, jump, own_shard, sizes
from tests import builders

names = st.text(min_size=1, max_size=30)
totals = st.integers(min_value=1, max_value=64)


def config(*issuers):
    limits = Limits(concurrency=1, concurrency_per_host=1)
    return Config(vantage="", limits=limits, issuers=issuers, sha256="a" * 64)


def fleet(count):
    return [builders.issuer(name=f"https://issuer-{n}.example.com") for n in range(count)]


@given(st.sets(names, max_size=30), totals)
def test_every_issuer_is_in_exactly_one_shard(chosen, total):
    whole = config(*(builders.issuer(name=name) for name in sorted(chosen)))

    shares = [Shard(ordinal, total).of(whole).issuers for ordinal in range(total)]

    assert sorted(i.name for share in shares for i in share) == sorted(chosen)
    assert [len(share) for share in shares] == list(sizes(whole.issuers, total))


@given(names, totals)
def test_a_further_shard_takes_issuers_and_moves_none_between_the_others(name, total):
    before, after = (home(builders.issuer(name=name), n) for n in (total, total + 1))

    assert after in (before, total)


@given(names, totals, totals, st.randoms(use_true_random=False))
def test_nobody_is_unwatched_while_shards_are_being_added(name, total, more, random):
    """The new ones start first; the old ones follow one by one. Until then two may watch."""
    issuer = builders.issuer(name=name)
    grown = total + more
    old = [Shard(n, random.choice((total, grown))) for n in range(total)]
    new = [Shard(n, grown) for n in range(total, grown)]

    watching = [s for s in (*old, *new) if s.of(config(issuer)).issuers]

    assert 1 <= len(watching) <= 2


def test_a_further_shard_takes_its_part_and_no_more():
    issuers = fleet(4000)

    moved = sum(home(issuer, 4) != home(issuer, 5) for issuer in issuers)

    assert moved == pytest.approx(4000 / 5, rel=0.1)


def test_shards_are_of_a_size():
    assert sizes(fleet(4000), 4) == tuple(pytest.approx(1000, rel=0.1) for _ in range(4))


def test_the_probes_of_a_shard_are_spread_over_the_whole_interval():
    """A hash that chose both the shard and the place would crowd them."""
    places = [offset_seconds(i) for i in fleet(4000) if home(i, 4) == 0]

    tenths = [sum(n * 6 <= place < (n + 1) * 6 for place in places) for n in range(10)]
    assert min(tenths) > 70


@pytest.mark.parametrize(
    ("key", "total", "bucket"),
    [(1, 1, 0), (42, 57, 43), (0xDEAD10CC, 1, 0), (0xDEAD10CC, 666, 361), (256, 1024, 520)],
)
def test_the_hash_is_the_one_that_others_have(key, total, bucket):
    """As in Go's and Guava's implementations: a shard may be computed elsewhere."""
    assert jump(key, total) == bucket


def test_an_issuer_stays_where_it_was_in_the_next_release():
    """Or an upgrade would move every issuer, and lose what was counted."""
    homes = [home(issuer, 8) for issuer in fleet(10)]

    assert homes == [1, 1, 2, 5, 2, 5, 4, 2, 7, 3]


def test_a_configuration_keeps_everything_but_its_issuers():
    whole = config(*fleet(20))
    part = Shard(1, 3).of(whole)

    assert (part.vantage, part.limits, part.sha256) == ("", whole.limits, whole.sha256)
    assert part.issuers == tuple(i for i in whole.issuers if home(i, 3) == 1)
    assert Shard().of(whole) == whole


@pytest.mark.parametrize(
    ("ordinal", "total", "pod", "shard"),
    [
        (None, 1, "web-5", Shard(0, 1)),  # alone, whatever the pod is called
        (0, 1, "", Shard(0, 1)),
        (2, 3, "web-1", Shard(2, 3)),  # what is written goes before what is found
        (None, 3, "oidc-issuer-exporter-2", Shard(2, 3)),
        (None, 12, "a-1-11", Shard(11, 12)),
        (None, 12, "a-0", Shard(0, 12)),
    ],
)
def test_the_flags_and_the_pods_name_tell_the_shard(ordinal, total, pod, shard):
    assert own_shard(ordinal, total, pod=pod) == shard


@pytest.mark.parametrize(
    "pod", ["", "host", "7f9c-x2", "web2", "web-", "web-01", "web-2.local"]
)
def test_a_name_without_an_ordinal_is_no_guess(pod):
    with pytest.raises(ShardError, match=r"^--total-shards=3 needs --shard: .*POD_NAME"):
        own_shard(None, 3, pod=pod)


@pytest.mark.parametrize(
    ("ordinal", "total", "pod", "message"),
    [
        (3, 3, "", r"^--shard=3 is beyond --total-shards=3: .* from 0 to 2$"),
        (1, 1, "", r"^--shard=1 is beyond --total-shards=1: .* from 0 to 0$"),
        (None, 2, "web-2", r"^the pod's name 'web-2' is beyond --total-shards=2"),
    ],
)
def test_a_shard_that_does_not_exist_is_refused(ordinal, total, pod, message):
    with pytest.raises(ShardError, match=message):
        own_shard(ordinal, total, pod=pod)
