"""What to tell people when a document came whole, but is no good: `document` and `keys`."""

from __future__ import annotations

from exporter.advice.form import BODY, JSON, KEY_COUNTS, KEYS, NO_PROVIDER, Mark, failure
from exporter.reasons import Cause, Reason, Stage

ROWS = (
    failure(
        Stage.DOCUMENT,
        Reason.HTML,
        title="A web page came in place of the discovery document",
        meaning="The server answered 200, but with HTML: a block page of a firewall, a bot "
        "check, a login page, or a web application that answers every path. STS needs JSON.",
        todo="Read the page: its text names its maker. Whoever runs the WAF or the bot check "
        "exempts the document; for a web application the operator adds the missing route.",
        cause=Cause.FIREWALL,
        mark=Mark.INFERRED,
        command=BODY,
    ),
    failure(
        Stage.DOCUMENT,
        Reason.INVALID_JSON,
        title="The discovery document is not valid JSON",
        meaning="The document cannot be parsed, so nobody can read from it where the keys "
        "are. What STS forgives here is not documented.",
        todo="The issuer's operator mends the file: the command names the first wrong "
        "character. Text left over from a template or a half upload is typical.",
        cause=Cause.UNREACHABLE,
        mark=Mark.INFERRED,
        command=JSON,
    ),
    failure(
        Stage.DOCUMENT,
        Reason.ENCODING,
        title="The discovery document is not in UTF-8",
        meaning="JSON travels in UTF-8; this document has bytes that are not. What STS "
        "forgives here is not documented.",
        todo="The issuer's operator saves and uploads the file as UTF-8 without a byte order "
        "mark.",
        cause=Cause.UNREACHABLE,
        mark=Mark.INFERRED,
        command='curl -sS "$URL" | file -',
    ),
    failure(
        Stage.DOCUMENT,
        Reason.NOT_OBJECT,
        title="The discovery document is JSON, but not an object",
        meaning="A discovery document is a JSON object with `issuer` and `jwks_uri` in it. "
        "This one is something else, so it names no key set.",
        todo="The issuer's operator looks at what is published there: a list, a bare string "
        "or an error message under a wrong status is typical.",
        cause=Cause.UNREACHABLE,
        mark=Mark.INFERRED,
        command=JSON,
    ),
    failure(
        Stage.DOCUMENT,
        Reason.ISSUER_MISSING,
        title="The discovery document does not say whose it is",
        meaning="The member `issuer` is missing or empty. AWS lists it among the fields that "
        "a discovery document must have.",
        todo="The issuer's operator adds \"issuer\" with the issuer's URL, letter by letter "
        "as tokens carry it in `iss`.",
        cause=Cause.TRUST,
        mark=Mark.DOCUMENTED,
        command=JSON,
    ),
    failure(
        Stage.DOCUMENT,
        Reason.ISSUER_MISMATCH,
        title="The discovery document belongs to another issuer",
        meaning="Its `issuer` differs from the URL that is probed. One letter's case, a slash "
        "at the end or http for https is enough. Tokens usually carry the document's name, "
        "and for that name IAM then has no provider. Whether AWS compares the document's own "
        "name as well is unknown.",
        todo="Compare three texts letter by letter: the token's `iss`, the document's "
        "`issuer`, the provider's URL in IAM. Behind a reverse proxy the issuer's operator "
        "sets the public host name; if the document is right, correct provider and "
        "configuration.",
        cause=Cause.TRUST,
        mark=Mark.INFERRED,
        command="""curl -sS "$URL" | jq .issuer; aws iam list-open-id-connect-providers""",
        error=NO_PROVIDER,
    ),
    failure(
        Stage.DOCUMENT,
        Reason.JWKS_URI_MISSING,
        title="The discovery document does not say where the keys are",
        meaning="The member `jwks_uri` is missing or empty. STS knows no other way to the key "
        "set.",
        todo="The issuer's operator adds `jwks_uri` with the public https URL of the key set.",
        cause=Cause.KEY_SET_ADDRESS,
        mark=Mark.DOCUMENTED,
        command='curl -sS "$URL" | jq .jwks_uri',
    ),
    failure(
        Stage.DOCUMENT,
        Reason.JWKS_URI_INVALID,
        title="The address of the key set is not a URL",
        meaning="What stands in `jwks_uri` cannot be asked for: no host, a blank, a relative "
        "path. STS reads the address of the keys from there and nowhere else.",
        todo="The issuer's operator writes the full public URL into `jwks_uri`, beginning "
        "with https://.",
        cause=Cause.KEY_SET_ADDRESS,
        mark=Mark.DOCUMENTED,
        command='curl -sS "$URL" | jq .jwks_uri',
    ),
    failure(
        Stage.DOCUMENT,
        Reason.JWKS_URI_INSECURE,
        title="The address of the key set is not https",
        meaning="`jwks_uri` points to plain http, over which anybody on the way could swap "
        "the keys. AWS describes how it verifies the key set's certificate, and http has "
        "none. This exporter fetches nothing there.",
        todo="The issuer's operator publishes the key set over https. Often only the server's "
        "idea of its own URL is wrong: behind a proxy that ends TLS, set the public URL or "
        "pass X-Forwarded-Proto on.",
        cause=Cause.KEY_SET_ADDRESS,
        mark=Mark.INFERRED,
        command='curl -sS "$URL" | jq .jwks_uri',
    ),
    failure(
        Stage.KEYS,
        Reason.HTML,
        title="A web page came in place of the key set",
        meaning="The server answered 200, but with HTML: a block page, a bot check, a login "
        "page or an application that answers every path. There is no key in it for STS.",
        todo="Read the page: its text names its maker. Whoever runs the WAF or the bot check "
        "exempts the URL; if the path is wrong, the operator corrects `jwks_uri`.",
        cause=Cause.KEYS,
        mark=Mark.INFERRED,
        command=BODY,
    ),
    failure(
        Stage.KEYS,
        Reason.INVALID_JSON,
        title="The key set is not valid JSON",
        meaning="The key set cannot be parsed, so no key can be taken from it. What STS "
        "forgives here is not documented.",
        todo="The issuer's operator mends the file: the command names the first wrong "
        "character.",
        cause=Cause.KEYS,
        mark=Mark.INFERRED,
        command=JSON,
    ),
    failure(
        Stage.KEYS,
        Reason.ENCODING,
        title="The key set is not in UTF-8",
        meaning="JSON travels in UTF-8; this key set has bytes that are not. What STS "
        "forgives here is not documented.",
        todo="The issuer's operator publishes the key set as UTF-8 without a byte order mark; "
        "an editor or a script on Windows often adds one.",
        cause=Cause.KEYS,
        mark=Mark.INFERRED,
        command='curl -sS "$URL" | file -',
    ),
    failure(
        Stage.KEYS,
        Reason.NOT_OBJECT,
        title="The key set is JSON, but not an object",
        meaning="A key set is a JSON object with a list called `keys` in it. A bare list of "
        "keys, or a single key, is not one.",
        todo='The issuer\'s operator wraps the keys: {"keys": [...]}.',
        cause=Cause.KEYS,
        mark=Mark.INFERRED,
        command=JSON,
    ),
    failure(
        Stage.KEYS,
        Reason.MISSING_KEYS,
        title="The key set has no member called keys",
        meaning="STS looks for a list called `keys` and does not find one. A single key, or "
        "another kind of document under this URL, looks like this.",
        todo='The issuer\'s operator publishes the keys as {"keys": [...]}, and checks that '
        "`jwks_uri` points to the key set and not to its neighbour.",
        cause=Cause.KEYS,
        mark=Mark.INFERRED,
        command=JSON,
    ),
    failure(
        Stage.KEYS,
        Reason.EMPTY,
        title="The key set is empty",
        meaning="The list of keys has no entry; AWS asks for at least one. No token of this "
        "issuer can be verified.",
        todo="The issuer's operator has a signing key created and published. Some products "
        "(Zitadel was seen to) publish none until the first token is signed: have one issued "
        "and look again.",
        cause=Cause.KEYS,
        mark=Mark.DOCUMENTED,
        command=JSON,
    ),
    failure(
        Stage.KEYS,
        Reason.MALFORMED,
        title="The list of keys is not a list of keys",
        meaning="What stands under `keys` is not a list of objects, so no key can be taken "
        "from it.",
        todo="The issuer's operator publishes each key as a JSON object (RFC 7517) in one "
        "list.",
        cause=Cause.KEYS,
        mark=Mark.INFERRED,
        command=JSON,
    ),
    failure(
        Stage.KEYS,
        Reason.NO_USABLE_KEY,
        title="None of the published keys is usable for STS",
        meaning="The key set arrives in time, yet every key breaks a rule: STS needs RSA, or "
        "EC on P-256, P-384 or P-521, with a `kid`, with `use` absent or sig, and without "
        "`key_ops`. Callers see the same error as if the issuer were down.",
        todo="The list of keys says what is wrong with each. The issuer's operator publishes "
        "the signing key in the right form: Ed25519 and symmetric keys never work, a missing "
        "`kid` and a superfluous `key_ops` are quickly mended.",
        cause=Cause.KEYS,
        mark=Mark.CAPTURED,
        command=KEYS,
    ),
    failure(
        Stage.KEYS,
        Reason.TOO_MANY,
        title="The key set has more than 100 keys of one type",
        meaning="AWS takes at most 100 RSA and 100 EC keys. Beyond that, tokens signed by a "
        "key of that type fail; those of the other type still work.",
        todo="The issuer's operator withdraws keys whose last token has expired. SPIRE sets "
        "grow with the number of servers and with each rotation: share or shorten them.",
        cause=Cause.KEYS,
        mark=Mark.CAPTURED,
        command=KEY_COUNTS,
    ),
)
