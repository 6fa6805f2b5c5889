"""What to tell people when a server answered, but not with a whole 200: `http` and `body`."""

from __future__ import annotations

from exporter.advice.form import BODY, CONNECT, HEADERS, TIMES, Mark, failure
from exporter.reasons import Cause, Reason, Stage

ROWS = (
    failure(
        Stage.HTTP,
        Reason.TIMEOUT,
        title="The server accepts the request and does not answer",
        meaning="The request was sent over a good connection, and no complete answer header "
        "came before the probe gave up. STS waits no more than 5 seconds.",
        todo="The issuer's operator looks at the load and the dependencies of the identity "
        "provider: a slow database or a cold start is typical. A CDN or cache in front of the "
        "two documents takes the time out of the matter.",
        cause=Cause.LATENCY,
        mark=Mark.DOCUMENTED,
        command=TIMES,
    ),
    failure(
        Stage.HTTP,
        Reason.EMPTY_REPLY,
        title="The server hangs up without an answer",
        meaning="The request was sent, and the connection was closed without one byte of an "
        "answer. A crashed worker or a proxy without a server behind it does that.",
        todo="The issuer's operator looks into the log of the server or proxy at the time of "
        "the probe.",
        cause=Cause.UNREACHABLE,
        mark=Mark.DOCUMENTED,
        command=CONNECT,
    ),
    failure(
        Stage.HTTP,
        Reason.RESET,
        title="The connection is reset instead of an answer",
        meaning="The request was sent, and the connection was cut before the answer was "
        "there: a server that crashed, or a filter that disliked the request.",
        todo="The issuer's operator looks for crashes and for rules of a WAF. If it works "
        "from another network, the filter stands nearer to here.",
        cause=Cause.UNREACHABLE,
        mark=Mark.DOCUMENTED,
        command=CONNECT,
    ),
    failure(
        Stage.HTTP,
        Reason.MALFORMED_RESPONSE,
        title="The answer is not HTTP",
        meaning="What came back breaks the rules of HTTP, so that a client cannot tell "
        "status, headers and body apart. How lenient STS is here is not documented.",
        todo="The issuer's operator looks at what the server, or a proxy before it, writes: "
        "curl -v names the first line that breaks the rules.",
        cause=Cause.UNREACHABLE,
        mark=Mark.INFERRED,
        command=CONNECT,
    ),
    failure(
        Stage.HTTP,
        Reason.HEADERS_TOO_LARGE,
        title="The answer's headers are larger than clients accept",
        meaning="The header lines outgrew what HTTP clients usually read. Which limit STS has "
        "is not documented.",
        todo="The issuer's operator removes what does not belong on a public document: piled "
        "up cookies and very long security policies are typical.",
        cause=Cause.UNREACHABLE,
        mark=Mark.INFERRED,
        command=HEADERS,
    ),
    failure(
        Stage.HTTP,
        Reason.HTTP2_ONLY,
        title="The server speaks HTTP/2 only",
        meaning="The server did not understand an HTTP/1.1 request. Which versions STS speaks "
        "is not documented, so relying on HTTP/2 alone is a risk.",
        todo="The issuer's operator allows HTTP/1.1 beside HTTP/2 on the load balancer or "
        "server.",
        cause=Cause.UNREACHABLE,
        mark=Mark.INFERRED,
        command='curl -sv --http1.1 -o /dev/null "$URL"; curl -sv --http2 -o /dev/null "$URL"',
    ),
    failure(
        Stage.HTTP,
        Reason.REDIRECT,
        title="The server sends its clients elsewhere",
        meaning="The answer is a redirect. Whether STS follows one is not documented; one "
        "report of an issuer that answered 301 ended in the error below. This exporter does "
        "not follow.",
        todo="The issuer's operator serves the document itself under the very URL: look for a "
        "forced www or trailing slash, a login page, a bucket asked in the wrong region. If "
        "the issuer has moved, provider and tokens must move with it.",
        cause=Cause.UNREACHABLE,
        mark=Mark.REPORTED,
        command=HEADERS,
    ),
    failure(
        Stage.HTTP,
        Reason.RATE_LIMITED,
        title="The issuer turns requests away as too many",
        meaning="The answer is 429, or 503 with a time to wait. When the issuer throttles STS "
        "in the same way, calls fail at random, most of them under load.",
        todo="Check that the key set may be cached (no `no-cache` in its headers), so that "
        "STS asks less often. The issuer's operator raises the limit or puts a CDN in front. "
        "If only this exporter is limited, raise its `interval`.",
        cause=Cause.TOO_MANY_REQUESTS,
        mark=Mark.DOCUMENTED,
        command=HEADERS,
    ),
    failure(
        Stage.HTTP,
        Reason.FORBIDDEN,
        title="A firewall or an access rule refuses the request",
        meaning="The server answered, but will not hand out the document: login wanted, "
        "client disliked, or country blocked. STS asks without credentials, like this "
        "exporter.",
        todo="The issuer's operator, or whoever runs its WAF, opens the two URLs to "
        "everybody: no login, no bot check, no country or address list. AWS publishes no "
        "addresses of STS that could be let through instead.",
        cause=Cause.FIREWALL,
        mark=Mark.DOCUMENTED,
        command=HEADERS,
    ),
    failure(
        Stage.HTTP,
        Reason.NOT_FOUND,
        title="The document is not there",
        meaning="The server says that nothing is published under this URL. STS looks in the "
        "one place that follows from the issuer's URL, and for the keys where `jwks_uri` "
        "points.",
        todo="Check the issuer's URL for a missing or wrong path (realm, tenant, cluster id); "
        "a cluster that was rebuilt has a new one. If the URL is right, the issuer's operator "
        "restores the document or the route to it.",
        cause=Cause.UNREACHABLE,
        mark=Mark.DOCUMENTED,
        command=HEADERS,
    ),
    failure(
        Stage.HTTP,
        Reason.SERVER_ERROR,
        title="The issuer reports an error of its own",
        meaning="The answer is a 5xx: the identity provider, or what stands before it, is "
        "broken or overloaded. STS needs a 200.",
        todo="The issuer's operator mends the service; for a hosted issuer look at the "
        "provider's status page. Retrying helps callers over a short outage.",
        cause=Cause.UNREACHABLE,
        mark=Mark.DOCUMENTED,
        command=HEADERS,
    ),
    failure(
        Stage.HTTP,
        Reason.STATUS,
        title="The answer's status is not 200",
        meaning="The server answered with a status that is neither 200 nor a usual error. "
        "AWS's article asks for 200.",
        todo="The issuer's operator serves the document to a plain GET with status 200.",
        cause=Cause.UNREACHABLE,
        mark=Mark.DOCUMENTED,
        command=HEADERS,
    ),
    failure(
        Stage.BODY,
        Reason.TIMEOUT,
        title="The document arrives too slowly",
        meaning="Status and headers came, but the body was not complete when the probe gave "
        "up. STS waits no more than 5 seconds.",
        todo="The issuer's operator looks for a stalled backend or a starved network; a "
        "document of a few kilobytes should come in one go.",
        cause=Cause.LATENCY,
        mark=Mark.DOCUMENTED,
        command=TIMES,
    ),
    failure(
        Stage.BODY,
        Reason.TRUNCATED,
        title="The document breaks off before its end",
        meaning="The connection ended before as many bytes had come as the headers promised. "
        "Half a document is of no use to STS.",
        todo="The issuer's operator looks for a crashing backend, a proxy with a short "
        "timeout, or a Content-Length that no longer fits after compression.",
        cause=Cause.UNREACHABLE,
        mark=Mark.INFERRED,
        command=CONNECT,
    ),
    failure(
        Stage.BODY,
        Reason.RESET,
        title="The connection is reset in the middle of the document",
        meaning="The body had begun when the connection was cut. Half a document is of no use "
        "to STS.",
        todo="The issuer's operator looks for crashes of the backend, and for a filter that "
        "inspects contents. Compare with another network.",
        cause=Cause.UNREACHABLE,
        mark=Mark.INFERRED,
        command=CONNECT,
    ),
    failure(
        Stage.BODY,
        Reason.MALFORMED,
        title="The body breaks the rules of HTTP",
        meaning="The body is not framed as its headers say: a broken chunk, or more bytes "
        "than promised. How lenient STS is here is not documented.",
        todo="The issuer's operator looks at the proxy or application that writes the body; "
        "contradicting Content-Length and Transfer-Encoding are typical.",
        cause=Cause.UNREACHABLE,
        mark=Mark.INFERRED,
        command=CONNECT,
    ),
    failure(
        Stage.BODY,
        Reason.TOO_LARGE,
        title="The document is larger than any honest one",
        meaning="Reading stopped at the configured limit. Real documents have a few "
        "kilobytes; a set of 101 keys has about 43. AWS documents no limit in bytes.",
        todo="Look at what is served there: a wrong file, an endless stream, or an attack on "
        "clients. If it is honest, raise `max_body_bytes` for this issuer.",
        cause=Cause.UNREACHABLE,
        mark=Mark.INFERRED,
        command=BODY,
    ),
    failure(
        Stage.BODY,
        Reason.DECOMPRESS,
        title="The compressed document cannot be unpacked",
        meaning="The answer says that it is compressed, but its bytes are not. Compressed "
        "twice by two proxies, or a wrong header, are typical.",
        todo="The issuer's operator mends compression on the proxy, or switches it off for "
        "these small documents.",
        cause=Cause.UNREACHABLE,
        mark=Mark.INFERRED,
        command='curl -sS -D - -o /dev/null --compressed "$URL"',
    ),
    failure(
        Stage.BODY,
        Reason.CONTENT_ENCODING,
        title="The document is compressed in a way nobody asked for",
        meaning="The answer uses a content encoding that the request did not offer, so the "
        "client is not bound to understand it. What STS understands is not documented.",
        todo="The issuer's operator lets the server obey Accept-Encoding, or switches "
        "compression off for these small documents.",
        cause=Cause.UNREACHABLE,
        mark=Mark.INFERRED,
        command=HEADERS,
    ),
    failure(
        Stage.BODY,
        Reason.EMPTY,
        title="The answer is empty",
        meaning="The server said 200 and sent nothing. Without the document STS finds no key.",
        todo="The issuer's operator looks for an empty file after a failed upload, or a "
        "backend whose error was turned into an empty page.",
        cause=Cause.UNREACHABLE,
        mark=Mark.INFERRED,
        command='curl -sS -i "$URL"',
    ),
)
