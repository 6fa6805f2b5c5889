"""What the exporter answers over HTTP."""

HEALTH_PATHS = ("/-/healthy", "/healthz")
READY_PATHS = ("/-/ready", "/readyz")
RELOAD_PATH = "/-/reload"
PROBE_PATH = "/probe"
#: Followed by the name of an issuer.
ISSUERS_PATH = "/issuers/"
API_PATH = "/api/v1/issuers"

#: Requests that are worked on at once, as node_exporter has it.
MOST_REQUESTS = 40

#: Where the metrics cannot be; at `/` they can, and then replace the page of all issuers.
RESERVED_PATHS = (*HEALTH_PATHS, *READY_PATHS, RELOAD_PATH, PROBE_PATH, API_PATH)

#: Between two looks of a page that refreshes itself; issuers are probed once a minute.
REFRESH_SECONDS = 30
