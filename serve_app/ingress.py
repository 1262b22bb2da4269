"""The Ingress deployment: the same application as the embedded proxy, its compressor behind a handle.

The application is built in the replica; nothing of it is pickled.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, cast

from fastapi import FastAPI
from ray import serve
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle

from headroom.cache.semantic import Found
from headroom.model import JobResult, Policy
from headroom.proxy.embed import Embed, NoEmbed
from headroom.proxy.prune import NoPrune, Prune
from headroom.proxy.server import lasting_app
from headroom.proxy.services import open_services
from headroom.proxy.similar import Neighbours
from headroom.settings import Settings
from serve_app.args import AppArgs, LLMLinguaTierArgs, TierArgs
from serve_app.compressor import RemoteCompress
from serve_app.llmlingua import NAME, PruneTier, RemotePrune
from serve_app.logs import join_serve_logs
from serve_app.scorer import NoModel, RemoteEmbed
from serve_app.semantic_cache import RemoteNeighbours, by_namespace
from serve_app.stats import RemoteLedger, RemoteRecorder
from serve_app.tiers import Breaker, Remote, Tier

if TYPE_CHECKING:
    from headroom.scoring.embedding import Made


def tier(name: str, handle: DeploymentHandle[Any], args: TierArgs, method: str = "__call__") -> Tier[Any, Any]:
    """The way to a deployment. By reference: the other transport of handles refuses messages above 4 MB."""
    remote = cast(Remote[Any, Any], handle.options(_by_reference=True, method_name=method).remote)
    return Tier(name, remote, Breaker(args.failures, args.probe_after_s), args.budget_s)


def llmlingua_tier(args: LLMLinguaTierArgs) -> PruneTier:
    """The way to an application that need not be there yet. Blocks; raises LookupError where Serve does not answer."""
    try:
        handle = serve.get_deployment_handle(NAME, app_name=args.application, _check_exists=False)
    except RayServeException as failure:
        raise LookupError(f"{args.application} cannot be looked for: {failure}") from None
    return tier(NAME, handle, args)


def remote_compress(handle: DeploymentHandle[JobResult], args: TierArgs, policy: Policy) -> RemoteCompress:
    """A breaker for each method: a conversation too long to be cut in time must not keep texts from being compressed."""
    return RemoteCompress(tier("Compressor", handle, args), tier("Compressor", handle, args, "cut"), policy)


def remote_ledger(handle: DeploymentHandle[Any], args: TierArgs) -> RemoteLedger:
    """A breaker for each method: what is asked must not keep rows from being delivered."""
    return RemoteLedger(tier("Stats", handle, args, "put"), tier("Stats", handle, args, "ask"), args.budget_s)


@serve.ingress()
class Ingress:
    """The deployment. `compressor` takes a `Job` and answers with its `JobResult`; `scorer`, if there is one, takes texts,
    `semantic_cache` a `Query`, `stats` the batches of an outbox."""

    def __init__(
        self,
        settings: Settings,
        args: AppArgs,
        compressor: DeploymentHandle[JobResult],
        scorer: DeploymentHandle[Made | NoModel] | None,
        semantic_cache: DeploymentHandle[Found | None] | None,
        stats: DeploymentHandle[Any] | None,
    ) -> None:
        join_serve_logs()
        compress = remote_compress(compressor, args.compressor.tier, settings.compression.policy)
        embed: Embed = NoEmbed()
        if scorer and args.scorer:
            embed = RemoteEmbed(tier("Scorer", scorer, args.scorer.tier), settings.scoring.cache_entries, args.scorer.pinged)
        recorder = RemoteRecorder(settings, remote_ledger(stats, args.stats.tier)) if stats and args.stats else None
        prune: Prune = NoPrune()
        if settings.llmlingua.enabled:
            prune = RemotePrune(functools.partial(llmlingua_tier, args.llmlingua))
        neighbours: Neighbours | None = None
        if semantic_cache and args.semantic_cache:
            limits = args.semantic_cache.tier
            breaker = Breaker(limits.failures, limits.probe_after_s)
            neighbours = RemoteNeighbours(Tier("SemanticCache", by_namespace(semantic_cache), breaker, limits.budget_s))
        self._services = open_services(settings, compress, embed, recorder, prune, neighbours)
        self._drain_s = args.ingress.graceful_shutdown_timeout_s
        self._configured = False

    async def reconfigure(self, user_config: dict[str, Any]) -> None:
        """Take the policies of the YAML's `user_config`: Serve calls this at the start and, in place, when they change.

        Raises SettingsError at the start only; later the policies before stay, and /health tells what is wrong.
        """
        starting, self._configured = not self._configured, True
        if set(user_config) != {"policies"}:
            told = f"user_config of Ingress: one key is known, `policies`, not {', '.join(map(str, user_config)) or 'nothing'}"
            self._services.rollout.refuse(told, starting=starting)
            return
        self._services.rollout.replace(user_config["policies"], "user_config of Ingress", starting=starting)

    async def drain(self) -> int:
        """Takes no new requests, and returns when the open ones have ended; how many have not within `graceful_shutdown_timeout_s`."""
        return await self._services.door.close(self._drain_s)

    def __serve_build_asgi_app__(self) -> FastAPI:
        return lasting_app(self._services)
