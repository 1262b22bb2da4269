# The embedded proxy. The Ray Serve application: docker build --build-arg EXTRAS=serve .
FROM python:3.11-slim AS build
ARG EXTRAS=proxy
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY headroom headroom
COPY serve_app serve_app
RUN python -m venv /opt/headroom \
 && /opt/headroom/bin/pip install --no-cache-dir --constraint constraints.txt ".[${EXTRAS},fast]" \
 && TIKTOKEN_CACHE_DIR=/opt/headroom/vocabularies /opt/headroom/bin/python -m headroom.cli.vocabulary

FROM python:3.11-slim
COPY --from=build /opt/headroom /opt/headroom
COPY configs /app/configs
RUN useradd --create-home --uid 10001 headroom && install -d -o headroom -g headroom -m 700 /data
USER headroom
WORKDIR /app
ENV PATH=/opt/headroom/bin:$PATH TIKTOKEN_CACHE_DIR=/opt/headroom/vocabularies HEADROOM_HOME=/data HEADROOM_HOST=0.0.0.0 HEADROOM_PORT=8787
VOLUME /data
EXPOSE 8787
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
  CMD ["python", "-c", "import httpx; httpx.get('http://127.0.0.1:8787/livez', trust_env=False).raise_for_status()"]
ENTRYPOINT ["headroom"]
CMD ["proxy"]
