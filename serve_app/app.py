"""The Ray Serve application, the only place where deployments are bound.

Runs in a process of the cluster, whose environment gives the settings that the YAML does not say.
"""

# Serve reads the annotation of `build` at run time, so it must not become a string: no `annotations` from __future__.
from ray import serve
from ray.serve import Application

from serve_app.args import AppArgs
from serve_app.compressor import Compressor
from serve_app.ingress import Ingress


def build(args: AppArgs) -> Application:
    """Bind the application; `args` are those of the YAML. Raises SettingsError."""
    settings = args.resolved()
    ingress = serve.deployment(name="Ingress", **args.ingress.options())(Ingress)
    compressor = serve.deployment(name="Compressor", **args.compressor.options())(Compressor)
    return ingress.bind(settings, args.compressor.tier, compressor.bind(settings, args.compressor.max_ongoing_requests))
