"""The operator's YAML, read once, judged whole, and frozen: nothing later sees a mapping.

The modules in reading order: `problems`, `yamlfile`, `values`, `addresses`, `certificates`,
`schema`, `validation`, `gathering`, `loading`; beside them `reference`, which makes the docs.
"""

from __future__ import annotations

from exporter.config.gathering import digest
from exporter.config.loading import Config, ConfigError, Limits, load
from exporter.config.reference import json_schema

__all__ = ["Config", "ConfigError", "Limits", "digest", "json_schema", "load"]
