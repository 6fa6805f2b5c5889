"""What to tell people when no connection came about: `config`, `dns` and `tcp`."""

from __future__ import annotations

from exporter.advice.form import CONNECT, PROVIDERS, RESOLVE, Mark, failure
from exporter.reasons import Cause, Reason, Stage

ROWS = (
    failure(
        Stage.CONFIG,
        Reason.NOT_HTTPS,
        title="The issuer's URL does not begin with https://",
        meaning="IAM takes no identity provider whose URL is not https, so STS can never be "
        "asked to trust this one. Nothing was fetched.",
        todo="Correct `url` in the exporter's configuration: https:// and then the provider's "
        "URL as IAM lists it. If the issuer really speaks only http, its operator must put it "
        "behind TLS.",
        cause=Cause.TRUST,
        mark=Mark.DOCUMENTED,
        command=PROVIDERS,
        error="",
    ),
    failure(
        Stage.CONFIG,
        Reason.BAD_URL,
        title="The issuer's URL cannot belong to a provider in IAM",
        meaning="An issuer's URL consists of https://, a host and perhaps a path. IAM refuses "
        "a query (?...) and a fragment (#...). Nothing was fetched.",
        todo="Correct `url` in the exporter's configuration until it equals the token's "
        "`iss`. Compare with the providers in the account of the role.",
        cause=Cause.TRUST,
        mark=Mark.CAPTURED,
        command=PROVIDERS,
        error="",
    ),
    failure(
        Stage.CONFIG,
        Reason.REFUSED_TARGET,
        title="The key set's address leads into a private network",
        meaning="The discovery document of a public issuer names a key set whose host "
        "resolves to an address that is not public. STS asks from outside and would not get "
        "there. This exporter does not go there either: no remote document may steer it into "
        "the network it stands in.",
        todo="The issuer's operator gives the host in `jwks_uri` a public address. If issuer "
        "and network are yours, and the exporter shall go there, set `allow_private_jwks: "
        "true` for this issuer.",
        cause=Cause.UNREACHABLE,
        mark=Mark.INFERRED,
        command='dig +short "$HOST"; dig +short @1.1.1.1 "$HOST"',
    ),
    failure(
        Stage.DNS,
        Reason.NXDOMAIN,
        title="The host name does not exist",
        meaning="The name servers answered that there is no such name. If the rest of the "
        "internet hears the same, STS finds no server to ask for the keys.",
        todo="Ask the name server used here and a public one. If both say NXDOMAIN, the owner "
        "of the domain restores the record or renews the registration. If only the one used "
        "here does, mend the exporter's resolver or the private zone that hides the name.",
        cause=Cause.UNREACHABLE,
        mark=Mark.DOCUMENTED,
        command=RESOLVE,
    ),
    failure(
        Stage.DNS,
        Reason.NODATA,
        title="The host name has no address",
        meaning="The name exists, but carries no A or AAAA record of the kind asked for. "
        "Without an address STS has nothing to connect to.",
        todo="The owner of the domain adds the missing record. If `ip_family` is set for this "
        "issuer, check first that the issuer has an address of that family at all.",
        cause=Cause.UNREACHABLE,
        mark=Mark.DOCUMENTED,
        command='dig "$HOST" A; dig "$HOST" AAAA',
    ),
    failure(
        Stage.DNS,
        Reason.SERVFAIL,
        title="The name servers fail to answer",
        meaning="The resolver reports SERVFAIL: the domain's own name servers are down, or "
        "their DNSSEC signatures do not verify. Other resolvers, those of STS included, may "
        "meet the same.",
        todo="Repeat the question with DNSSEC checks switched off (+cd). An answer now means "
        "broken signatures: the owner of the domain mends them. Still none means that the "
        "domain's name servers are down, or the resolver used here is.",
        cause=Cause.UNREACHABLE,
        mark=Mark.DOCUMENTED,
        command='dig "$HOST"; dig +cd "$HOST"; dig @1.1.1.1 "$HOST"',
    ),
    failure(
        Stage.DNS,
        Reason.REFUSED,
        title="The name server refuses the question",
        meaning="The name server answered REFUSED: it does not serve this client or this "
        "name. Or nobody answers at its address. That is most often a matter of the resolver "
        "used here, and then STS is not hurt.",
        todo="Check `nameservers` in the exporter's configuration, or /etc/resolv.conf, and "
        "the server's list of allowed clients. If public resolvers are refused as well, the "
        "owner of the domain mends its delegation.",
        cause=Cause.UNREACHABLE,
        mark=Mark.DOCUMENTED,
        command=RESOLVE,
    ),
    failure(
        Stage.DNS,
        Reason.TIMEOUT,
        title="No name server answered in time",
        meaning="The lookup of the host name was still open when the probe gave up. Whoever "
        "waits for the same name servers has no time left for the two documents.",
        todo="Try another resolver. If it answers at once, mend the one used here or the "
        "network to it (port 53, UDP and TCP). If it does not, the owner of the domain looks "
        "after its name servers.",
        cause=Cause.LATENCY,
        mark=Mark.DOCUMENTED,
        command=RESOLVE,
    ),
    failure(
        Stage.DNS,
        Reason.BAD_NAME,
        title="The host name cannot be a name in the DNS",
        meaning="A part of the host name is empty, longer than 63 characters or not "
        "encodable, so no resolver can look it up, neither here nor at AWS.",
        todo="Look for a typing error (two dots in a row, a blank) in the issuer's URL or in "
        "the `jwks_uri` of its discovery document, and have it corrected there.",
        cause=Cause.UNREACHABLE,
        mark=Mark.DOCUMENTED,
    ),
    failure(
        Stage.TCP,
        Reason.REFUSED,
        title="The server refuses connections",
        meaning="The host is there, but nothing listens on the port, or a firewall answers in "
        "its name. If STS meets the same, it gets no key.",
        todo="The issuer's operator starts the server or the load balancer's listener again. "
        "If the connection works from another network, look for a rule between here and there "
        "that rejects it.",
        cause=Cause.UNREACHABLE,
        mark=Mark.DOCUMENTED,
        command=CONNECT,
    ),
    failure(
        Stage.TCP,
        Reason.UNREACHABLE,
        title="No route leads to the server",
        meaning="The network says that the address cannot be reached from here. For a private "
        "address or a family this machine does not speak that is no wonder; for a public one "
        "it is a routing fault.",
        todo="Compare with another network. If only this machine has no route, mend its "
        "network or set `ip_family`. If nobody has, the issuer's operator or its provider "
        "mends the routing.",
        cause=Cause.UNREACHABLE,
        mark=Mark.DOCUMENTED,
        command=CONNECT,
    ),
    failure(
        Stage.TCP,
        Reason.TIMEOUT,
        title="Connection attempts vanish without an answer",
        meaning="Nobody accepted and nobody refused. Silence of this kind is how a firewall "
        "drops packets; a host that is off looks the same. STS waits 5 seconds and gives up.",
        todo="Connect from another network, a phone will do. If that works, whoever runs the "
        "firewall lets port 443 through. AWS publishes no addresses from which STS asks, so "
        "the documents must be open to everybody.",
        cause=Cause.FIREWALL,
        mark=Mark.DOCUMENTED,
        command=CONNECT,
    ),
    failure(
        Stage.TCP,
        Reason.RESET,
        title="The connection is cut off as soon as it is made",
        meaning="The far end, or something in between, reset the connection before a byte of "
        "TLS was spoken. Firewalls and overloaded load balancers do that.",
        todo="Connect from another network. If it works there, look for a filter on the way. "
        "If it does not, the issuer's operator checks the load balancer's health and limits.",
        cause=Cause.FIREWALL,
        mark=Mark.DOCUMENTED,
        command=CONNECT,
    ),
)
