"""What stands for PagerDuty, Slack and the webhooks: a server that prints what it is sent."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_WIDTH = 78


class Pager:
    """Prints every message, but of the dead man's switch the first one only."""

    def __init__(self, write: Callable[[str], object] = sys.stderr.write) -> None:
        self._write = write
        self._is_alive = False

    def application(self) -> web.Application:
        """A server for everything that the shipped receivers send to."""
        application = web.Application()
        application.router.add_post("/pagerduty", self._pagerduty)
        application.router.add_post("/slack", self._slack)
        application.router.add_post("/webhook/{receiver}", self._webhook)
        return application

    async def _pagerduty(self, request: web.Request) -> web.Response:
        self._print("The pager", *pagerduty_text(await request.json()))
        return web.json_response({"status": "success"}, status=202)

    async def _slack(self, request: web.Request) -> web.Response:
        self._print("Slack", *slack_text(await request.json()))
        return web.Response(text="ok")

    async def _webhook(self, request: web.Request) -> web.Response:
        receiver = request.match_info["receiver"]
        message = await request.json()
        if receiver != "watchdog":
            self._print(f"The webhook `{receiver}`", *webhook_text(message))
        elif not self._is_alive:
            self._is_alive = True
            self._print(
                "The dead man's switch",
                "The whole chain works, from a rule in Prometheus to this receiver.",
                "It is called again every few minutes, which is not printed.",
            )
        return web.Response()

    def _print(self, who: str, title: str, text: str) -> None:
        head = f"--- {who} gets "
        lines = [head.ljust(_WIDTH, "-"), title, "", text, "-" * _WIDTH]
        # In one piece: the exporter's log goes to the same terminal.
        self._write("\n".join(["", *lines, "", ""]))


def pagerduty_text(event: Mapping[str, Any]) -> tuple[str, str]:
    """Title and text of an event of PagerDuty's Events API, version 2."""
    payload = event["payload"]
    details = payload["custom_details"]
    text = "\n\n".join(filter(None, (details["firing"], details["resolved"])))
    return f"({event['event_action']}) {payload['summary']}", text


def slack_text(message: Mapping[str, Any]) -> tuple[str, str]:
    """Title and text of a message to a Slack channel."""
    (attachment,) = message["attachments"]
    return f"{message['channel']} {attachment['title']}", attachment["text"]


def webhook_text(message: Mapping[str, Any]) -> tuple[str, str]:
    """Title and text of Alertmanager's own JSON."""
    alerts = [
        f"{alert['status']} {alert['labels']['alertname']} "
        f"{alert['labels'].get('issuer', '')}: {alert['annotations'].get('summary', '')}"
        for alert in message["alerts"]
    ]
    return f"{message['status']}, {len(alerts)} alerts", "\n".join(alerts)
