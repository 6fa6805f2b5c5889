"""Local issuers, good and bad, and the exporter on them: something to look at offline."""

from exporter.demo.main import run
from exporter.demo.process import Running, issuers

__all__ = ["Running", "issuers", "run"]
