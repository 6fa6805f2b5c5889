"""The chain of certificates as it was served: the only place that judges its order.

AWS: it starts with the issuer's own certificate, goes on with the intermediates and ends with
the root; with another order, duplicates or additional certificates "STS fails to validate the
JWT" (IAM guide, "Obtain the thumbprint"). Hardly anybody serves the root, so it may be missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from exporter.model import Certificate


def is_out_of_order(chain: Sequence[Certificate]) -> bool:
    """Those that lead from the leaf upwards are served in another order than that."""
    path = [one.sha256 for one in _path(chain)]
    return [one.sha256 for one in _unique(chain) if one.sha256 in path] != path


def extras(chain: Sequence[Certificate]) -> int:
    """How many stand there a second time, or lead nowhere."""
    return len(chain) - len(_path(chain))


def needed(
    chain: Sequence[Certificate], verified_sha256: Sequence[str] = ()
) -> list[Certificate]:
    """Those above the leaf by which it is verified, as far as what was served goes.

    Of two for one name and key (one renewed, or signed by another) the one that is valid
    longest: any of them will do. While the verified path is not known, those that lead
    upwards by their names, or all of the rest when none does.
    """
    rest = _unique(chain)[1:]
    if verified_sha256:
        return _longest([one for one in rest if one.sha256 in verified_sha256], rest)
    return _longest(_path(chain)[1:], rest) or rest


def _longest(path: Sequence[Certificate], rest: Sequence[Certificate]) -> list[Certificate]:
    found: list[Certificate] = []
    for one in path:
        twins = (other for other in rest if _names_same(one, other))
        found.append(max(twins, key=lambda twin: twin.not_after_timestamp_seconds))
        if found[-1].is_self_issued:
            break  # a root: what stands above its twin has become needless
    return found


def _names_same(one: Certificate, other: Certificate) -> bool:
    return (one.subject, one.public_key_sha256) == (other.subject, other.public_key_sha256)


def _path(chain: Sequence[Certificate]) -> list[Certificate]:
    """From the leaf upwards by the issuers' names, as far as what was served goes."""
    unique = _unique(chain)
    # Of two for one name (a root and its cross-signed twin) the one served first is taken.
    above = {one.subject: one for one in reversed(unique[1:])}
    path = unique[:1]
    while path and not path[-1].is_self_issued:
        issuer = above.pop(path[-1].issuer, None)
        if issuer is None:
            break
        path.append(issuer)
    return path


def _unique(chain: Sequence[Certificate]) -> list[Certificate]:
    return list({one.sha256: one for one in chain}.values())
