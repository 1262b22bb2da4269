"""The Ray Serve application, the only place where deployments are bound.

Runs in a process of the cluster, whose environment gives the settings that the YAML does not say.
"""

# Serve reads the annotation of `build` at run time, so it must not become a string: no `annotations` from __future__.
import logging

from ray import serve
from ray.serve import Application

from headroom.proxy.routing import Backends
from headroom.settings import ScoringSettings, Settings, unread
from serve_app.args import AppArgs, ScorerArgs
from serve_app.compressor import Compressor
from serve_app.ingress import Ingress
from serve_app.scorer import Scorer
from serve_app.semantic_cache import SemanticCache
from serve_app.stats import Stats


def build(args: AppArgs) -> Application:
    """Bind the application; `args` are those of the YAML. Raises SettingsError."""
    settings = args.resolved()
    for said in unread(settings):
        logging.getLogger("ray.serve").warning("environment: %s", said)
    Backends(settings)  # what could not be reached with what is set stops the deployment here, not its replicas one by one
    ingress = serve.deployment(name="Ingress", **args.ingress.options())(Ingress)
    compressor = serve.deployment(name="Compressor", **args.compressor.options())(Compressor)
    return ingress.bind(
        settings,
        args,
        compressor.bind(settings, args.compressor.max_ongoing_requests),
        _scorer(args.scorer, settings.scoring),
        _semantic_cache(args, settings),
        serve.deployment(name="Stats", **args.stats.options())(Stats).bind(settings) if args.stats else None,
    )


def _semantic_cache(args: AppArgs, settings: Settings) -> Application | None:
    """None where nothing gives it vectors."""
    if args.semantic_cache is None or args.scorer is None or not settings.scoring.enabled or not settings.cache.enabled:
        return None
    return serve.deployment(name="SemanticCache", **args.semantic_cache.options())(SemanticCache).bind(settings)


def _scorer(args: ScorerArgs | None, scoring: ScoringSettings) -> Application | None:
    if args is None or not scoring.enabled:
        return None
    scorer = serve.deployment(name="Scorer", **args.options())(Scorer)
    return scorer.bind(scoring.spec, scoring.cache_entries)
