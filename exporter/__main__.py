"""`python -m exporter` is the command `oidc-issuer-exporter`."""

import sys

from exporter.cli import main

sys.exit(main())
