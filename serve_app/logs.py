"""Where the library's log records go in a replica."""

from __future__ import annotations

import logging

from headroom.proxy.relay import BrokenStreams


def join_serve_logs() -> None:
    """Send the records of `headroom` and `serve_app` through Ray Serve's handlers, which add request id and replica."""
    serve = logging.getLogger("ray.serve")
    serve.addFilter(BrokenStreams())
    for name in ("headroom", "serve_app"):
        logger = logging.getLogger(name)
        logger.handlers = serve.handlers
        logger.setLevel(serve.level)
        logger.propagate = False
