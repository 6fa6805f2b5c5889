"""What writes the Grafana dashboards; no part of the installed package."""
