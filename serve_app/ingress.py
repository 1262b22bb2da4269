"""The Ingress deployment: the same application as the embedded proxy, its compressor behind a handle.

The application is built in the replica; nothing of it is pickled.
"""

from __future__ import annotations

from typing import cast

from fastapi import FastAPI
from ray import serve
from ray.serve.handle import DeploymentHandle

from headroom.model import Job, JobResult
from headroom.proxy.server import create_app
from headroom.proxy.services import open_services
from headroom.settings import Settings
from serve_app.args import TierArgs
from serve_app.compressor import RemoteCompress
from serve_app.logs import join_serve_logs
from serve_app.tiers import Breaker, Remote, Tier


@serve.ingress()
class Ingress:
    """The deployment. `compressor` takes a `Job` and answers with its `JobResult`."""

    def __init__(self, settings: Settings, tier: TierArgs, compressor: DeploymentHandle[JobResult]) -> None:
        join_serve_logs()
        # By reference: the other transport of handles refuses messages above 4 MB.
        remote = cast(Remote[Job, JobResult], compressor.options(_by_reference=True).remote)
        breaker = Breaker(tier.failures, tier.probe_after_s)
        compress = RemoteCompress(Tier("Compressor", remote, breaker, tier.budget_s), settings.compression.policy)
        self._services = open_services(settings, compress)

    def __serve_build_asgi_app__(self) -> FastAPI:
        return create_app(self._services)
