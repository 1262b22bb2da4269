"""The ASGI application, the same in both faces, and the embedded server.

`create_app` wires routes to given services; `embedded_app` builds the services of one process;
`app` is built from the environment when a server first asks for it (`gunicorn headroom.proxy.server:app`).
"""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from starlette.middleware import Middleware
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from headroom.backends.base import described
from headroom.context import windows
from headroom.dialects import DIALECTS
from headroom.errors import HeadroomError
from headroom.proxy.door import Guarded
from headroom.proxy.doors import doors, read_here
from headroom.proxy.embed_process import embedded_embed
from headroom.proxy.exchange import ProviderRoute
from headroom.proxy.heap import one_heap
from headroom.proxy.middleware import Fence, RequestId
from headroom.proxy.passthrough import PassThrough
from headroom.proxy.processes import WorkerProcesses
from headroom.proxy.prune_process import embedded_prune
from headroom.proxy.relay import BrokenStreams
from headroom.proxy.routes import own_error, own_routes
from headroom.proxy.services import Services, open_services
from headroom.proxy.telemetry import Telemetry
from headroom.proxy.upgrade import RefuseUpgrade
from headroom.settings import Settings, export, load

_SWITCH_S = 0.001  # the event loop waits no longer than this for a thread that reads a large body
_GENERATIONS = (5_000, 10, 14)  # Python's own (700, 10, 10) collect within each request and look at all that lives ten times as often
_KEEP_ALIVE_S = 90  # longer than clients and load balancers keep a connection that is idle, so that they close it and not we


def create_app(services: Services) -> Application:
    """The application over given services, which it starts and closes with its own lifespan."""

    telemetry = Telemetry(services.settings, services.recorder, services.store)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await services.recorder.start()
        await services.admission.start()
        await services.rollout.start()
        if services.settings.optimize:
            await services.compress.start()
            await services.prune.start()
        if services.settings.optimize or services.settings.cache.enabled:
            await services.embed.start()
        await services.similar.start()
        await telemetry.start()
        threading.Thread(target=windows.load, name="windows", daemon=True).start()
        yield
        await telemetry.close()
        await services.rollout.close()
        await services.similar.close()
        await services.compress.close()
        await services.embed.close()
        await services.prune.close()
        if services.learning:
            await asyncio.to_thread(services.learning.close)
        await services.upstream.close()
        await services.admission.close()
        await services.store.close()
        await services.recorder.close()
        await services.tracing.close()

    around = [Middleware(RequestId), Middleware(Guarded, door=services.door), Middleware(RefuseUpgrade), Middleware(Fence)]
    app = Application(
        {path: _behind(around, ProviderRoute(dialect, services)) for path, dialect in DIALECTS.items()},
        title="Headroom",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        middleware=around,
        exception_handlers={HeadroomError: _on_error},
    )
    own = own_routes(services)
    app.include_router(own)
    for path in {route.path for route in own.routes if isinstance(route, Route) and route.path != "/"}:
        app.router.routes.append(Route(path, _WrongMethod()))
    app.router.routes.extend(doors(services))
    app.router.routes.append(Route("/{path:path}", PassThrough(services, read_here)))
    return app


class Application(FastAPI):
    """Provider routes, which most requests are for, do not go through FastAPI: it would take as long as finding what was compressed."""

    def __init__(self, provider_routes: dict[str, ASGIApp], **options: Any) -> None:
        super().__init__(**options)
        self.provider_routes = provider_routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = None
        if scope["type"] == "http" and scope["method"] == "POST":
            route = self.provider_routes.get(scope["path"].removeprefix(scope.get("root_path", "")))
        await (route or super().__call__)(scope, receive, send)


def _behind(middleware: Sequence[Middleware], app: ASGIApp) -> ASGIApp:
    """The application within the others, the first outermost."""
    for each in reversed(middleware):
        app = each.cls(app, *each.args, **each.kwargs)
    return app


class _WrongMethod:
    """Our own paths never reach a provider, whatever the method."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        message = f"{scope['path']} does not take {scope['method']}."
        await JSONResponse({"error": {"type": "invalid_request", "message": message}}, 405)(scope, receive, send)


async def _on_error(_: Request, failure: Exception) -> Response:
    if not isinstance(failure, HeadroomError):
        raise failure
    return own_error(failure)


def lasting_app(services: Services) -> Application:
    """The application of a process that does nothing else. The garbage collector, which holds up streams, does not look again at what
    stays for its life, and seldom at what has stayed for long: what is left of a request is freed without it.
    """
    app = create_app(services)
    gc.freeze()
    gc.set_threshold(*_GENERATIONS)
    return app


def embedded_app(settings: Settings) -> Application:
    """The application of `headroom proxy`: compression and the models in processes of their own. Raises SettingsError."""
    return lasting_app(_embedded(settings))


def _embedded(settings: Settings) -> Services:
    sys.setswitchinterval(_SWITCH_S)
    one_heap()
    prune = embedded_prune(settings)
    return open_services(settings, WorkerProcesses(settings), embedded_embed(settings), prune=prune)


def run(settings: Settings, announce: Callable[[list[str]], None] = lambda _: None) -> None:
    """Serve until interrupted; blocks. `announce` is called, with a line about each backend, when nothing of the settings stands in the
    way any more.

    Several workers share the store and the ledger. Raises SettingsError.
    """
    logging.getLogger("uvicorn.error").addFilter(BrokenStreams())
    services = _embedded(settings)
    app: Application | str = lasting_app(services)
    announce([described(backend) for backend in services.backends.opened()])
    if settings.workers > 1:
        export(settings)
        app = "headroom.proxy.server:app"
    uvicorn.run(
        app,
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        log_level="warning",
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,  # who asks is told by a credential, never by an address
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=settings.drain_s,
    )


def __getattr__(name: str) -> Application:
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    app = globals()["app"] = embedded_app(load(binds=False))
    return app
