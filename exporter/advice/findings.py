"""What to tell people about a broken promise that did not stop the probe."""

from __future__ import annotations

from exporter.advice.form import (
    CHAIN,
    HANDSHAKE,
    HEADERS,
    JSON,
    KEY_COUNTS,
    KEYS,
    NO_KEY,
    NOT_VALIDATED,
    THUMBPRINT,
    Mark,
    finding,
)
from exporter.reasons import Cause, Code

#: In the order of the vocabulary.
ROWS = (
    finding(
        Code.NO_CACHE,
        title="The answer forbids caching",
        meaning="STS does not keep a key set that says `no-cache`, but fetches it again and "
        "again. Under load the issuer may throttle it, and calls then fail at random.",
        todo="The issuer's operator sends `Cache-Control: max-age=300` or more with the key "
        "set; where the product cannot (SPIRE's discovery provider has no-cache built in), a "
        "CDN or proxy in front rewrites the header.",
        cause=Cause.TOO_MANY_REQUESTS,
        mark=Mark.DOCUMENTED,
        command=HEADERS,
        error=NO_KEY,
    ),
    finding(
        Code.PRAGMA_NO_CACHE,
        title="The answer forbids caching by an old header",
        meaning="AWS names this old header beside Cache-Control: STS does not keep the key "
        "set, but fetches it again and again, and under load the issuer may throttle it.",
        todo="The issuer's operator removes `Pragma` and sends `Cache-Control: max-age=300` "
        "or more. Web frameworks add it by default to everything behind a login.",
        cause=Cause.TOO_MANY_REQUESTS,
        mark=Mark.DOCUMENTED,
        command=HEADERS,
        error=NO_KEY,
    ),
    finding(
        Code.NO_CACHE_FIELD,
        title="The answer forbids caching of single header fields",
        meaning='`no-cache="..."` with field names forbids less than a bare `no-cache` by the '
        "rules of HTTP. Whether STS sees the difference is not documented.",
        todo="To be safe, the issuer's operator drops the directive from the key set: its "
        "headers hold nothing worth hiding.",
        cause=Cause.TOO_MANY_REQUESTS,
        mark=Mark.INFERRED,
        command=HEADERS,
    ),
    finding(
        Code.NO_STORE,
        title="The answer forbids storing",
        meaning="By the rules of HTTP nobody may keep this document. AWS names only "
        "`no-cache`; whether STS obeys `no-store` too is not documented.",
        todo="The issuer's operator sends `Cache-Control: max-age=300` or more instead: a key "
        "set is public.",
        cause=Cause.TOO_MANY_REQUESTS,
        mark=Mark.INFERRED,
        command=HEADERS,
    ),
    finding(
        Code.MAX_AGE_ZERO,
        title="The answer may not be reused",
        meaning="The document is stale as soon as it arrives. Whether STS then fetches it for "
        "every call is not documented.",
        todo="The issuer's operator sends a max-age of 300 or more.",
        cause=Cause.TOO_MANY_REQUESTS,
        mark=Mark.INFERRED,
        command=HEADERS,
    ),
    finding(
        Code.EXPIRED,
        title="The answer calls itself out of date",
        meaning="Its `Expires` has passed or is no date, or it is older than its max-age; in "
        "HTTP that means that it must not be reused. Whether STS looks at it is not "
        "documented.",
        todo="The issuer's operator drops `Expires` and sends a max-age of 300 or more.",
        cause=Cause.TOO_MANY_REQUESTS,
        mark=Mark.INFERRED,
        command=HEADERS,
    ),
    finding(
        Code.CACHE_SHORT,
        title="The answer may be reused for a very short time",
        meaning="A short max-age saves few requests. How long STS really keeps a key set is "
        "not documented.",
        todo="Nothing is broken. If the issuer ever throttles, its operator raises the "
        "max-age, but not beyond the time for which a new key stands beside the old one.",
        cause=Cause.TOO_MANY_REQUESTS,
        mark=Mark.INFERRED,
        command=HEADERS,
    ),
    finding(
        Code.PRIVATE_ADDRESS,
        title="The issuer answers from a private address",
        meaning="It was reached at an address that is not public. If that is its only one, "
        "STS, which asks from outside, cannot reach it.",
        todo="Look the name up at a public resolver. A public address there means that this "
        "network sees its own copy (split DNS): probe from outside as well. None means that "
        "the issuer's operator must publish the documents, for instance through a CDN.",
        cause=Cause.UNREACHABLE,
        mark=Mark.DOCUMENTED,
        command='dig +short "$HOST"; dig +short @1.1.1.1 "$HOST"',
        error=NO_KEY,
    ),
    finding(
        Code.IP_FAMILY_PARTIAL,
        title="Some of the issuer's addresses are dead",
        meaning="One address gave no connection, another did. A client that tries the dead "
        "one first loses time or fails; which one STS tries first is not documented.",
        todo="The issuer's operator mends the dead address or takes it out of the DNS. If "
        "only IPv6 is dead, check first that this machine has IPv6 at all.",
        cause=Cause.UNREACHABLE,
        mark=Mark.INFERRED,
        command='curl -4 -sS -o /dev/null "$URL"; curl -6 -sS -o /dev/null "$URL"',
    ),
    finding(
        Code.PORT_IN_URL,
        title="The issuer's URL names a port",
        meaning="AWS says that a provider's URL should not contain a port number, and IAM was "
        "seen to drop `:443` silently, after which URL and token no longer agree.",
        todo="The issuer's operator serves the documents on port 443 and drops the port from "
        "issuer and tokens.",
        cause=Cause.TRUST,
        mark=Mark.DOCUMENTED,
    ),
    finding(
        Code.TLS13_ONLY,
        title="The server speaks TLS 1.3 only",
        meaning="AWS documents that it falls back to thumbprints where TLS 1.3 is required. A "
        "thumbprint in IAM that has grown old then breaks every token at the next renewal.",
        todo="The issuer's operator offers TLS 1.2 beside 1.3. Until then keep the provider's "
        "thumbprints in IAM in step with the chain that is served.",
        cause=Cause.TRUST,
        mark=Mark.DOCUMENTED,
        command=HANDSHAKE.replace(" </dev", " -tls1_2 </dev"),
        error=THUMBPRINT,
    ),
    finding(
        Code.CHAIN_ORDER,
        title="The certificates are sent in the wrong order",
        meaning="AWS wants the chain from the server's own certificate upwards to the root, "
        "and warns that another order ends in a signature mismatch. Most clients do not mind.",
        todo="The issuer's operator sorts the chain file: own certificate first, then each "
        "issuer after the one it signed.",
        cause=Cause.UNREACHABLE,
        mark=Mark.DOCUMENTED,
        command=CHAIN,
    ),
    finding(
        Code.CHAIN_EXTRA,
        title="The server sends certificates that do not belong",
        meaning="The chain holds a duplicate or a stranger. AWS warns that this ends in a "
        "signature mismatch. Most clients do not mind.",
        todo="The issuer's operator removes from the chain file whatever is not on the way "
        "from the server's own certificate to the root.",
        cause=Cause.UNREACHABLE,
        mark=Mark.DOCUMENTED,
        command=CHAIN,
    ),
    finding(
        Code.PRIVATE_CA,
        title="Only a private CA vouches for the issuer",
        meaning="The certificate verifies with the configured `ca_file`, not with public "
        "roots. AWS then relies on the thumbprints stored with the provider in IAM.",
        todo="Keep the thumbprints in IAM in step with the chain, or have the issuer's "
        "operator take a certificate of a public CA and be rid of the matter.",
        cause=Cause.TRUST,
        mark=Mark.DOCUMENTED,
        command=CHAIN,
        error=THUMBPRINT,
    ),
    finding(
        Code.CONTENT_TYPE,
        title="The document does not call itself JSON",
        meaning="Its Content-Type is not that of JSON. Issuers on plain file storage do work "
        "with STS that way, but no rule says that they must.",
        todo="The issuer's operator sends `application/json` (for the key set also "
        "`application/jwk-set+json`). On S3 set the object's content type.",
        cause=Cause.KEYS,
        mark=Mark.INFERRED,
        command=HEADERS,
    ),
    finding(
        Code.UNKNOWN_ENCODING,
        title="Content-Encoding names something that is no compression",
        meaning="A word such as `utf-8` or `aws-chunked` stands where a compression should. "
        "The document was read as it came. Most clients do so; what STS does is not known.",
        todo="The issuer's operator removes the header. On S3 it is metadata of the object, "
        "often set where the character set was meant.",
        cause=Cause.KEYS,
        mark=Mark.INFERRED,
        command=HEADERS,
    ),
    finding(
        Code.REQUIRED_FIELD_MISSING,
        title="The discovery document lacks fields that AWS asks for",
        meaning="AWS's list of prerequisites names more than `issuer` and `jwks_uri`. Issuers "
        "without some of the others are known to work, so STS does not seem to insist.",
        todo="The issuer's operator adds the fields: they cost nothing, and AWS may insist "
        "one day.",
        cause=Cause.TRUST,
        mark=Mark.DOCUMENTED,
        command=JSON,
    ),
    finding(
        Code.UNSUPPORTED_ALG,
        title="The issuer names no algorithm that STS supports",
        meaning="STS verifies RS256, RS384, RS512, ES256, ES384 and ES512. Tokens signed in "
        "another way, EdDSA or PS256 for instance, are refused.",
        todo="The issuer's operator signs with one of the six and lists it in "
        "`id_token_signing_alg_values_supported`.",
        cause=Cause.KEYS,
        mark=Mark.DOCUMENTED,
        command='curl -sS "$URL" | jq .id_token_signing_alg_values_supported',
    ),
    finding(
        Code.MISSING_KID,
        title="A key has no kid",
        meaning="STS cannot use a key without a `kid`, not even if it is the only one. Tokens "
        "signed with it fail as if the issuer were down.",
        todo="The issuer's operator gives each key a `kid` and puts the same into the header "
        "of the tokens it signs.",
        cause=Cause.KEYS,
        mark=Mark.CAPTURED,
        command=KEYS,
        error=NO_KEY,
    ),
    finding(
        Code.DUPLICATE_KID,
        title="Two different keys have the same kid",
        meaning="STS was seen to take the last one. Tokens signed with another one fail.",
        todo="The issuer's operator gives each key a `kid` of its own; deriving it from the "
        "key (RFC 7638) rules the clash out.",
        cause=Cause.KEYS,
        mark=Mark.CAPTURED,
        command=KEYS,
        error=NOT_VALIDATED,
    ),
    finding(
        Code.KEY_OPS,
        title="A key carries key_ops",
        meaning="A key with the member `key_ops` was seen to fail with STS, even when it says "
        '["verify"]. Other clients accept it.',
        todo="The issuer's operator removes `key_ops` from the published keys; `use` says "
        "enough.",
        cause=Cause.KEYS,
        mark=Mark.CAPTURED,
        command=KEYS,
        error=NOT_VALIDATED,
    ),
    finding(
        Code.ENCRYPTION_USE,
        title="A key is not meant for signatures",
        meaning="STS was seen to pass over a key whose `use` is enc. That is right for an "
        "encryption key, and wrong for a signing key with a slip of the pen.",
        todo="Nothing, if the key is for encryption. If tokens are signed with it, the "
        "issuer's operator sets `use` to sig or drops it.",
        cause=Cause.KEYS,
        mark=Mark.CAPTURED,
        command=KEYS,
    ),
    finding(
        Code.X5C_CONFLICT,
        title="A key and its certificate disagree",
        meaning="The certificate in `x5c` holds another key than the members beside it, or "
        "cannot be read. STS was seen to refuse a key whose certificate is of another one.",
        todo="The issuer's operator publishes n and e (or x and y) of the same key as the "
        "certificate, or drops `x5c`.",
        cause=Cause.KEYS,
        mark=Mark.CAPTURED,
        command=JSON,
        error=NO_KEY,
    ),
    finding(
        Code.WEAK_KEY,
        title="A signing key is short",
        meaning="The key is shorter than today's rules for signatures allow. What STS demands "
        "at least is not documented.",
        todo="The issuer's operator rotates to RSA of 2048 bits or more, or to EC P-256.",
        cause=Cause.KEYS,
        mark=Mark.INFERRED,
        command=KEYS,
    ),
    finding(
        Code.MALFORMED_KEY,
        title="A key's numbers are missing or wrong",
        meaning="Its n and e, or x and y, are missing, are not base64url without padding, or "
        "make no key. While another key signs, nobody notices; when the issuer changes over to "
        "this one, every token fails.",
        todo="The issuer's operator publishes the key anew before it signs, by a library "
        "rather than by hand: base64url, no `=`, coordinates in their full length.",
        cause=Cause.KEYS,
        mark=Mark.INFERRED,
        command=JSON,
        error=NO_KEY,
    ),
    finding(
        Code.UNSUPPORTED_KEY,
        title="A key is of a kind that STS does not use",
        meaning="STS verifies with RSA and with EC on P-256, P-384 and P-521, and with keys "
        "whose `use` is absent or sig. Others may stand beside them, but tokens signed with "
        "them fail.",
        todo="Nothing, as long as tokens for AWS are signed with one of the usable keys.",
        cause=Cause.KEYS,
        mark=Mark.INFERRED,
        command=KEYS,
    ),
    finding(
        Code.PRIVATE_KEY_EXPOSED,
        title="A private key is published for all to read",
        meaning="The key set holds a private or symmetric member. Whoever has read it can "
        "sign tokens that STS accepts, and so assume every role that trusts this issuer.",
        todo="Treat it as a break-in, now. The issuer's operator withdraws the key, signs "
        "with a new one and publishes only its public part. In AWS, take the provider out of "
        "the roles' trust until then, revoke their sessions, and read CloudTrail for "
        "AssumeRoleWithWebIdentity.",
        cause=Cause.KEYS,
        mark=Mark.INFERRED,
        command="""curl -sS "$URL" | jq -c '.keys[] | [.kid, .kty, has("d") or has("k")]'""",
    ),
    finding(
        Code.KEYS_NEAR_LIMIT,
        title="The key set is close to AWS's limit",
        meaning="AWS takes at most 100 RSA and 100 EC keys. Beyond that, tokens of that type "
        "fail.",
        todo="The issuer's operator withdraws keys whose last token has expired. SPIRE sets "
        "grow with the number of servers and with each rotation.",
        cause=Cause.KEYS,
        mark=Mark.DOCUMENTED,
        command=KEY_COUNTS,
        error=NO_KEY,
    ),
    finding(
        Code.CLOCK_SKEW,
        title="The issuer's clock and ours disagree",
        meaning="STS was seen to tolerate 300 seconds between a token's times and its own "
        "clock. An issuer further off signs tokens that are not valid yet, or no longer.",
        todo="Check this machine's clock first. If it is right, the issuer's operator mends "
        "time synchronisation there; an answer from a cache with an old Date and no Age looks "
        "the same.",
        cause=Cause.TRUST,
        mark=Mark.CAPTURED,
        command='date -u; curl -sS -D - -o /dev/null "$URL" | grep -i "^date:"',
    ),
    finding(
        Code.RETRY_AFTER,
        title="The issuer asks its clients to wait",
        meaning="An answer carried `Retry-After`: requests come faster than the issuer likes. "
        "This exporter obeys; what STS does is not documented.",
        todo="Raise `interval` for this issuer, and check that its key set may be cached.",
        cause=Cause.TOO_MANY_REQUESTS,
        mark=Mark.INFERRED,
        command=HEADERS,
    ),
)

# AWS speaks of the key set alone. Keycloak forbids caching its discovery document by default.
ON_DISCOVERY = dict(
    finding(
        code,
        title=f"The discovery document forbids {what}",
        meaning="AWS speaks of the key set only. Whether STS keeps discovery documents at all "
        "is not documented, and issuers that forbid it, Keycloak for one, work.",
        todo="Nothing, as long as the issuer does not throttle.",
        cause=Cause.TOO_MANY_REQUESTS,
        mark=Mark.INFERRED,
        command=HEADERS,
    )
    for code, what in (
        (Code.NO_CACHE, "caching"),
        (Code.PRAGMA_NO_CACHE, "caching by an old header"),
        (Code.NO_STORE, "storing"),
    )
)
