"""Stand-ins for clouds: each speaks its cloud's wire format, verifies what arrives, and has the stand-in provider answer.

What arrives is turned into a request of the plain API, which `Provider` records and answers by its scripts; the answer is
turned into the cloud's. Whatever is not as the cloud wants it is noted in `refusals`, and answered with 400.
"""

from __future__ import annotations

import base64
import json
import re
import struct
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, unquote

import jwt
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.provider import Provider, Received, running

Claude, Gpt, Codex = "anthropic", "openai", "openai_responses"
PATHS = {Claude: "/v1/messages", Gpt: "/v1/chat/completions", Codex: "/v1/responses"}


class Cloud:
    """`speaks` are the APIs it is asked in, by the names of dialects, `translates` those whose requests come translated to the first
    of these; `env` is what the server needs to know it.
    """

    kind: ClassVar[str]
    speaks: ClassVar[tuple[str, ...]]
    translates: ClassVar[tuple[str, ...]] = ()
    env: ClassVar[dict[str, str]] = {}
    error: ClassVar[str] = "stand-in says"

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self.url = ""
        self.refusals: list[str] = []
        self.arrived: list[Received] = []

    def spec(self) -> dict[str, Any]:
        """How the settings name it."""
        return {"kind": self.kind, "url": self.url}

    def model(self, name: str) -> str:
        """What the model that clients call `name` must be called here."""
        return name

    def billed(self, name: str) -> str:
        """What it must be called in the ledger."""
        return self.model(name)

    def account(self, folder: Path) -> None:
        """Files that its credentials need."""

    def plain(self, received: Received) -> tuple[str, bytes]:
        """Path and body of the plain API. Raises AssertionError for what the cloud would refuse."""
        raise NotImplementedError

    def said(self, received: Received, status: int, content_type: str, body: bytes) -> tuple[str, bytes]:
        """Content type and bytes of one piece of the answer (`body` may be empty)."""
        return content_type, body

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
        headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"])
        query = b"?" + scope["query_string"] if scope["query_string"] else b""
        received = Received(scope["method"], (scope["raw_path"] + query).decode("latin-1"), headers, body)
        self.arrived.append(received)
        try:
            path, inner = self.plain(received)
        except (AssertionError, KeyError, ValueError) as wrong:
            self.refusals.append(f"{received.method} {received.target}: {wrong!r}")
            await send({"type": "http.response.start", "status": 400, "headers": [(b"content-type", b"application/json")]})
            await send({"type": "http.response.body", "body": json.dumps({"message": repr(wrong)}).encode()})
            return
        pending = [{"type": "http.request", "body": inner, "more_body": False}]

        async def inner_receive() -> Any:
            return pending.pop() if pending else await receive()

        await self.provider(
            scope | {"path": path, "raw_path": path.encode(), "query_string": b""}, inner_receive, _Sender(self, received, send)
        )


class _Sender:
    """Turns the provider's messages into the cloud's."""

    def __init__(self, cloud: Cloud, received: Received, send: Any) -> None:
        self._cloud, self._received, self._send = cloud, received, send
        self._status, self._type = 0, ""

    async def __call__(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            headers = dict(message["headers"])
            self._type = headers.pop(b"content-type").decode()
            headers.pop(b"content-length", None)
            kind, _ = self._cloud.said(self._received, self._status, self._type, b"")
            message = message | {"headers": [*headers.items(), (b"content-type", kind.encode())]}
        elif message.get("body"):
            message = message | {"body": self._cloud.said(self._received, self._status, self._type, message["body"])[1]}
        await self._send(message)


class Compatible(Cloud):
    kind = "openai_compatible"
    speaks = (Claude, Gpt, Codex)

    def spec(self) -> dict[str, Any]:
        return super().spec() | {"url": f"{self.url}/v1"}

    def plain(self, received: Received) -> tuple[str, bytes]:
        assert not received.header("authorization"), "a credential nobody gave"
        assert not received.header("x-api-key"), "the client's credential"
        return received.target.partition("?")[0], received.body


class KeyedCompatible(Compatible):
    env: ClassVar[dict[str, str]] = {"OUR_VLLM_KEY": "vllm-key"}

    def spec(self) -> dict[str, Any]:
        return super().spec() | {"key": "OUR_VLLM_KEY", "models": {"m": "org/served-model"}}

    def model(self, name: str) -> str:
        return "org/served-model" if name == "m" else name

    def plain(self, received: Received) -> tuple[str, bytes]:
        assert received.header("authorization") == ["Bearer vllm-key"]
        assert not received.header("x-api-key"), "the client's credential"
        return received.target.partition("?")[0], received.body


class ChatOnly(KeyedCompatible):
    """A server that has Chat Completions and nothing else."""

    speaks = (Gpt,)
    translates = (Claude, Codex)

    def spec(self) -> dict[str, Any]:
        return super().spec() | {"speaks": ["chat"]}


class MessagesOnly(Cloud):
    """Anthropic's own API, with a credential of the server's."""

    kind = "anthropic"
    speaks = (Claude,)
    translates = (Gpt, Codex)
    env: ClassVar[dict[str, str]] = {"OUR_ANTHROPIC_KEY": "sk-ant-ours"}

    def spec(self) -> dict[str, Any]:
        return super().spec() | {"key": "OUR_ANTHROPIC_KEY"}

    def plain(self, received: Received) -> tuple[str, bytes]:
        assert received.header("x-api-key") == ["sk-ant-ours"]
        assert not received.header("authorization"), "the client's credential"
        return received.target.partition("?")[0], received.body


class OpenRouter(Cloud):
    kind = "openrouter"
    speaks = (Claude, Gpt, Codex)
    env: ClassVar[dict[str, str]] = {"OPENROUTER_API_KEY": "sk-or-key"}

    def spec(self) -> dict[str, Any]:
        return {"kind": self.kind, "url": f"{self.url}/api/v1"}

    def model(self, name: str) -> str:
        return {"claude-sonnet-4-5-20250929": "anthropic/claude-sonnet-4.5", "gpt-5": "openai/gpt-5"}.get(name, name)

    def plain(self, received: Received) -> tuple[str, bytes]:
        assert received.header("authorization") == ["Bearer sk-or-key"]
        assert not received.header("x-api-key"), "the client's credential"
        path = received.target.partition("?")[0]
        assert path.startswith("/api/v1/")
        return path.removeprefix("/api"), received.body


class Azure(Cloud):
    """The v1 API: the deployment is the model of the body, no api-version."""

    kind = "azure"
    speaks = (Gpt, Codex)
    translates = (Claude,)
    env: ClassVar[dict[str, str]] = {"AZURE_API_KEY": "azure-key"}

    def spec(self) -> dict[str, Any]:
        return super().spec() | {"models": {"gpt-5": "our-deployment"}}

    def model(self, name: str) -> str:
        return "our-deployment" if name == "gpt-5" else name

    def billed(self, name: str) -> str:
        return name

    def plain(self, received: Received) -> tuple[str, bytes]:
        assert received.header("api-key") == ["azure-key"]
        assert not received.header("authorization"), "the client's credential"
        path, _, query = received.target.partition("?")
        assert path.startswith("/openai/v1/")
        assert "api-version" not in query
        return path.removeprefix("/openai"), received.body

    def said(self, received: Received, status: int, content_type: str, body: bytes) -> tuple[str, bytes]:
        """Its gateway's own errors have no type."""
        if status < 400 or not body:
            return content_type, body
        return content_type, json.dumps({"error": {"code": str(status), "message": json.loads(body)["error"]["message"]}}).encode()


class AzureEntra(Azure):
    """Without a key: wants the latest token that its own endpoint for managed identities gave. `lifetime_s` is that of the next ones."""

    env: ClassVar[dict[str, str]] = {}
    translates = ()
    lifetime_s = 3600
    refuses = False

    def __init__(self, provider: Provider) -> None:
        super().__init__(provider)
        self.tokens = 0

    def account(self, folder: Path) -> None:
        chain = {"AZURE_TOKEN_CREDENTIALS": "ManagedIdentityCredential", "AZURE_API_KEY": ""}
        self.env = chain | {"IDENTITY_ENDPOINT": f"{self.url}/identity", "IDENTITY_HEADER": "our-secret"}  # type: ignore[misc]

    def plain(self, received: Received) -> tuple[str, bytes]:
        assert received.header("authorization") == [f"Bearer entra-{self.tokens}"]
        assert not received.header("api-key"), "a key nobody gave"
        return received.target.partition("?")[0].removeprefix("/openai"), received.body

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["path"] != "/identity":
            await super().__call__(scope, receive, send)
            return
        assert (b"x-identity-header", b"our-secret") in scope["headers"]
        assert parse_qs(scope["query_string"].decode())["resource"] == ["https://cognitiveservices.azure.com"]
        self.tokens += not self.refuses
        told = {"access_token": f"entra-{self.tokens}", "expires_on": str(int(time.time()) + self.lifetime_s), "token_type": "Bearer"}
        body = json.dumps({"message": "no such identity"} if self.refuses else told).encode()
        start = {"type": "http.response.start", "status": 400 if self.refuses else 200}
        await send({**start, "headers": [(b"content-type", b"application/json")]})
        await send({"type": "http.response.body", "body": body})


class AzureDeployments(Azure):
    """The API before: chat at its deployment, and an api-version."""

    translates = ()

    def spec(self) -> dict[str, Any]:
        return super().spec() | {"api_version": "2025-04-01-preview", "url": f"{self.url}/"}

    def plain(self, received: Received) -> tuple[str, bytes]:
        assert received.header("api-key") == ["azure-key"]
        path, _, query = received.target.partition("?")
        assert query.split("&").count("api-version=2025-04-01-preview") == 1
        if path == "/openai/responses":
            return "/v1/responses", received.body
        deployment, _, rest = path.removeprefix("/openai/deployments/").partition("/")
        assert deployment == json.loads(received.body)["model"]
        return f"/v1/{rest}", received.body

    def said(self, received: Received, status: int, content_type: str, body: bytes) -> tuple[str, bytes]:
        if status < 400 or not body:
            return content_type, body
        return content_type, json.dumps({"statusCode": status, "message": json.loads(body)["error"]["message"]}).encode()


class Bedrock(Cloud):
    """Recomputes the signature with botocore, and speaks event streams."""

    kind = "bedrock"
    speaks = (Claude,)
    region: ClassVar[str] = "us-east-1"
    env: ClassVar[dict[str, str]] = {
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
        "AWS_SESSION_TOKEN": "session/token==",
        "AWS_EC2_METADATA_DISABLED": "true",
    }

    def spec(self) -> dict[str, Any]:
        return super().spec() | {"region": self.region}

    def model(self, name: str) -> str:
        return "us.anthropic.claude-sonnet-4-5-20250929-v1:0" if name == "claude-sonnet-4-5-20250929" else name

    def plain(self, received: Received) -> tuple[str, bytes]:
        self._verify(received)
        model, operation = re.fullmatch(r"/model/([^/]+)/([a-z-]+)", received.target).groups()  # type: ignore[union-attr]
        assert ":" not in model
        body = received.json
        if operation == "count-tokens":
            body = json.loads(base64.b64decode(body["input"]["invokeModel"]["body"]))
            assert body["max_tokens"] == 1
            assert not unquote(model).startswith(("us.", "eu.", "global."))
        assert body.pop("anthropic_version") == "bedrock-2023-05-31"
        assert not {"model", "stream"} & body.keys()
        if operation == "count-tokens":
            return "/v1/messages/count_tokens", json.dumps(body | {"model": unquote(model)}).encode()
        stream = {"invoke": False, "invoke-with-response-stream": True}[operation]
        return "/v1/messages", json.dumps(body | {"model": unquote(model), "stream": stream}).encode()

    def _verify(self, received: Received) -> None:
        """AWS's own check: what is signed, by whom, for which service and region, over which bytes."""
        (authorization,) = received.header("authorization")
        found = re.fullmatch(
            r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request, SignedHeaders=([^,]+), Signature=([0-9a-f]{64})",
            authorization,
        )
        assert found, authorization
        key, day, region, service, signed, signature = found.groups()
        assert (key, region, service) == (self.env["AWS_ACCESS_KEY_ID"], self.region, "bedrock")
        names = signed.split(";")
        assert {"host", "x-amz-date", "x-amz-security-token"} <= set(names)
        headers = {name: received.header(name)[0] for name in names}
        assert headers["x-amz-date"].startswith(day)
        assert headers["x-amz-security-token"] == self.env["AWS_SESSION_TOKEN"]
        request = AWSRequest(received.method, f"http://{headers['host']}{received.target}", headers=headers, data=received.body)
        request.context["timestamp"] = headers["x-amz-date"]
        auth = SigV4Auth(Credentials(key, self.env["AWS_SECRET_ACCESS_KEY"], self.env["AWS_SESSION_TOKEN"]), service, region)
        canonical = auth.canonical_request(request)
        assert auth.signature(auth.string_to_sign(request, canonical), request) == signature, canonical

    def said(self, received: Received, status: int, content_type: str, body: bytes) -> tuple[str, bytes]:
        if status >= 400:
            return content_type, json.dumps({"message": json.loads(body)["error"]["message"]}).encode() if body else b""
        if received.target.endswith("/count-tokens"):
            return content_type, json.dumps({"inputTokens": json.loads(body)["input_tokens"]}).encode() if body else b""
        if not content_type.startswith("text/event-stream"):
            return content_type, body
        events = [json.loads(line[6:]) for line in body.decode().splitlines() if line.startswith("data: ")]
        return "application/vnd.amazon.eventstream", b"".join(map(chunk, events))


def chunk(event: Any) -> bytes:
    """One event of a model as Bedrock streams it, with the padding that hides its length."""
    told = {"bytes": base64.b64encode(json.dumps(event).encode()).decode(), "p": "abcdefghij"}
    return frame({":event-type": "chunk", ":content-type": "application/json", ":message-type": "event"}, json.dumps(told).encode())


def frame(headers: dict[str, str], payload: bytes) -> bytes:
    """A frame of `application/vnd.amazon.eventstream`."""
    named = b"".join(
        bytes([len(name)]) + name.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode() for name, value in headers.items()
    )
    prelude = struct.pack(">II", 16 + len(named) + len(payload), len(named))
    head = prelude + struct.pack(">I", zlib.crc32(prelude)) + named + payload
    return head + struct.pack(">I", zlib.crc32(head))


def exception(name: str, message: str) -> bytes:
    headers = {":exception-type": name, ":content-type": "application/json", ":message-type": "exception"}
    return frame(headers, json.dumps({"message": message}).encode())


class VertexAI(Cloud):
    """Checks the token that its own token endpoint gave for a signed assertion of the service account."""

    kind = "vertex_ai"
    speaks = (Claude, Gpt)

    def __init__(self, provider: Provider) -> None:
        super().__init__(provider)
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.tokens = 0
        self.env = {"GOOGLE_APPLICATION_CREDENTIALS": "", "NO_GCE_CHECK": "true"}  # type: ignore[misc]

    def account(self, folder: Path) -> None:
        """A service account's key file, whose tokens come from here."""
        pem = self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        account = {"type": "service_account", "project_id": "our-project", "private_key_id": "k1", "private_key": pem}
        account |= {"client_email": "headroom@our-project.iam.gserviceaccount.com", "client_id": "1", "token_uri": f"{self.url}/token"}
        file = folder / "account.json"
        file.write_text(json.dumps(account))
        self.env["GOOGLE_APPLICATION_CREDENTIALS"] = str(file)

    def spec(self) -> dict[str, Any]:
        return super().spec() | {"region": "us-east5"}

    def model(self, name: str) -> str:
        return {"claude-sonnet-4-5-20250929": "claude-sonnet-4-5@20250929", "gemini-2.5-pro": "google/gemini-2.5-pro"}.get(name, name)

    def billed(self, name: str) -> str:
        return self.model(name).removeprefix("google/")

    def plain(self, received: Received) -> tuple[str, bytes]:
        assert received.header("authorization") == [f"Bearer ya29.{self.tokens}"]
        assert not received.header("x-api-key"), "the client's credential"
        place, body = "/v1/projects/our-project/locations/us-east5", received.json
        assert received.target.startswith(f"{place}/")
        rest = received.target.removeprefix(place)
        if rest == "/endpoints/openapi/chat/completions":
            return "/v1/chat/completions", received.body
        assert body.pop("anthropic_version") == "vertex-2023-10-16"
        model, _, verb = rest.removeprefix("/publishers/anthropic/models/").partition(":")
        if model == "count-tokens":
            assert verb == "rawPredict"
            return "/v1/messages/count_tokens", json.dumps(body).encode()
        assert "model" not in body
        assert verb == ("streamRawPredict" if body.get("stream") else "rawPredict")
        return "/v1/messages", json.dumps(body | {"model": unquote(model)}).encode()

    def _token(self, received: Received) -> None:
        assertion = parse_qs(received.body.decode())["assertion"][0]
        claims = jwt.decode(assertion, self._key.public_key(), algorithms=["RS256"], audience="https://oauth2.googleapis.com/token")
        assert claims["scope"] == "https://www.googleapis.com/auth/cloud-platform"
        self.tokens += 1

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["path"] == "/token":
            body = b""
            while (message := await receive()).get("more_body"):
                body += message["body"]
            received = Received("POST", "/token", (), body + message["body"])
            self._token(received)
            told = json.dumps({"access_token": f"ya29.{self.tokens}", "expires_in": 3600, "token_type": "Bearer"}).encode()
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
            await send({"type": "http.response.body", "body": told})
            return
        await super().__call__(scope, receive, send)

    def said(self, received: Received, status: int, content_type: str, body: bytes) -> tuple[str, bytes]:
        """Google's errors, which its OpenAI endpoint gives in a list."""
        if status < 400 or not body:
            return content_type, body
        error = {"error": {"code": status, "message": json.loads(body)["error"]["message"], "status": "RESOURCE_EXHAUSTED"}}
        return content_type, json.dumps([error] if "openapi" in received.target else error).encode()


CLOUDS: tuple[type[Cloud], ...] = (KeyedCompatible, ChatOnly, MessagesOnly, OpenRouter, Azure, AzureDeployments, Bedrock, VertexAI)


@contextmanager
def standing(cloud: type[Cloud], provider: Provider) -> Iterator[Cloud]:
    """The cloud on a free loopback port."""
    made = cloud(provider)
    with running(made) as url:
        made.url = url
        yield made
