"""A WebSocket handshake, told byte by byte."""

from __future__ import annotations

import http.client
import json
import socket
from typing import Any
from urllib.parse import urlsplit

from tests.provider import WAIT_S

HANDSHAKE = (
    "GET {target} HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"
    "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nopenai-beta: responses_websockets=2026-02-06\r\n{more}\r\n"
)


def shake(url: str, target: str, more: str = "") -> tuple[int, http.client.HTTPMessage, Any]:
    """Status, headers and JSON of the answer to a WebSocket handshake."""
    with socket.create_connection(("127.0.0.1", urlsplit(url).port or 0), timeout=WAIT_S) as link:
        link.sendall(HANDSHAKE.format(target=target, more=more).encode())
        answer = http.client.HTTPResponse(link)
        answer.begin()
        return answer.status, answer.headers, json.loads(answer.read())
