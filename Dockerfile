# docker build -t headroom .                        the proxy; no Ray, no torch
# docker build --target serve -t headroom:serve .   the Ray Serve application, and its nodes on Kubernetes; docker stop -t 700
# docker build --target gpu -t headroom:gpu --build-arg LLMLINGUA_MODEL=NAME .   the same with LLMLingua-2 and embeddings, a model baked in
# Without BuildKit Docker builds every stage up to the one that is asked for: --target proxy spares it torch.
ARG PYTHON=3.11

FROM python:${PYTHON}-slim AS build
WORKDIR /src
RUN python -m venv /opt/headroom
ENV PATH=/opt/headroom/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1

FROM build AS wheel
COPY pyproject.toml README.md LICENSE ./
COPY headroom headroom
COPY serve_app serve_app
RUN pip wheel --no-deps --wheel-dir /wheels .

FROM build AS build-proxy
COPY configs/locks/proxy.txt ./
RUN pip install --require-hashes -r proxy.txt
COPY --from=wheel /wheels /wheels
RUN pip install --no-deps /wheels/*.whl

FROM python:${PYTHON}-slim AS runtime
RUN useradd --create-home --uid 10001 headroom && install -d -o headroom -g headroom -m 700 /data
WORKDIR /app
COPY configs configs
ENV PATH=/opt/headroom/bin:$PATH PYTHONUNBUFFERED=1 HEADROOM_HOME=/data
VOLUME /data

FROM runtime AS proxy
COPY --from=build-proxy /opt/headroom /opt/headroom
USER 10001
ENV HEADROOM_HOST=0.0.0.0 HEADROOM_PORT=8787
EXPOSE 8787
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
  CMD ["python", "-c", "import httpx, os; httpx.get(f'http://127.0.0.1:{os.environ[\"HEADROOM_PORT\"]}/livez', trust_env=False).raise_for_status()"]
ENTRYPOINT ["headroom"]
CMD ["proxy"]

FROM build AS build-serve
COPY configs/locks/serve.txt ./
RUN pip install --require-hashes -r serve.txt
COPY --from=wheel /wheels /wheels
RUN pip install --no-deps /wheels/*.whl

# wget is what KubeRay's probes call.
FROM runtime AS serve
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends wget && rm -rf /var/lib/apt/lists/*
COPY --from=build-serve /opt/headroom /opt/headroom
USER 10001
ENV RAY_SERVE_ENABLE_HA_PROXY=1 \
    RAY_SERVE_THROUGHPUT_OPTIMIZED=1 \
    RAY_SERVE_LOG_TO_STDERR=1 \
    RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S=1800 \
    RAY_SERVE_HAPROXY_TIMEOUT_CLIENT_S=3600 \
    RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S=10 \
    RAY_worker_niceness=0 \
    RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S=1 \
    RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S=700 \
    RAY_USAGE_STATS_ENABLED=0
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s \
  CMD ["python", "-c", "import httpx; httpx.get('http://127.0.0.1:8000/livez', trust_env=False).raise_for_status()"]
ENTRYPOINT ["headroom"]
CMD ["serve", "configs/prod.yaml"]

# hnswlib is compiled here. torch comes as its package index has it for the platform, so it has no lock.
FROM build-serve AS build-gpu
ARG LLMLINGUA_MODEL=
ENV HF_HOME=/opt/models
COPY constraints.txt ./
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends build-essential \
 && rm -rf /var/lib/apt/lists/* \
 && pip install --constraint constraints.txt "$(echo /wheels/*.whl)[serve,fast,otel,llmlingua,embed]" \
 && mkdir -p "$HF_HOME" \
 && if [ -n "$LLMLINGUA_MODEL" ]; then hf download "$LLMLINGUA_MODEL"; fi

FROM serve AS gpu
COPY --from=build-gpu /opt/headroom /opt/headroom
COPY --from=build-gpu /opt/models /opt/models
ENV HF_HOME=/opt/models
CMD ["serve", "configs/gpu.yaml"]

FROM proxy
