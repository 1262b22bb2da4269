"""Paths of the providers' APIs: what callers may use with the server's credential, and which path one may be to a server."""

from __future__ import annotations

import re
from posixpath import normpath
from urllib.parse import unquote

COUNT_PATH = "/v1/messages/count_tokens"
# Besides the dialects; not, say, the keys, files, batches and bills of an account. A response is reached by its id, which nobody
# is told but who made it and which no list gives: whoever has it may go on from it with a POST anyway.
_READ = re.compile(rb"/v1/(models(/[\w.:@%-]+){0,3}|responses/[\w-]+(/input_items)?)")
_MADE = (
    rb"messages/count_tokens|responses/(compact|input_tokens|[\w-]+/cancel)|embeddings|completions|moderations|rerank|images/\w+|audio/\w+"
)
_USES = {
    "GET": _READ,
    "HEAD": _READ,
    "POST": re.compile(rb"/v1/(" + _MADE + rb")"),
    "DELETE": re.compile(rb"/v1/responses/[\w-]+"),
}
# How these and the dialects' begin: whatever begins one of them names nothing else.
_COMMON = (
    *(COUNT_PATH, "/v1/chat/completions", "/v1/responses/", "/v1/models/", "/v1/embeddings", "/v1/completions"),
    *("/v1/moderations", "/v1/rerank", "/v1/images/", "/v1/audio/"),
)
_WILD = re.compile(r"[*?\[]")
_END = re.compile(r"[?#\0]")
_DECODINGS = 3


def uses_a_model(dialect: str, method: str, path: bytes) -> bool:
    """Whether a request uses a model and nothing else of the account that pays for it; `path` is percent-encoded, as it is sent."""
    if dialect:
        return method == "POST"
    known = _USES.get(method)
    return known is not None and known.fullmatch(path) is not None and not leads_elsewhere(path.decode("latin-1"))


def names_more(pattern: str) -> bool:
    """Whether a pattern of routes, up to its first wildcard, names more than `uses_a_model` allows: `/v1/files*` does, `/v1/*` does not."""
    fixed = _WILD.split(pattern, maxsplit=1)[0]
    return not any(path.startswith(fixed) for path in _COMMON)


def leads_elsewhere(path: str) -> bool:
    """Whether a path, as it came or decoded, may mean another one to a server, because a part of it is `.` or `..`."""
    return not {".", ".."}.isdisjoint(_parts(_decoded(path)))


def plain(path: str) -> str:
    """What the most lenient server may take a path for: decoded more than once, without what stands behind `?`, `#`, `;`
    or a zero byte, its slashes merged and its dots followed.
    """
    return normpath("/" + "/".join(filter(None, _parts(_END.split(_decoded(path), maxsplit=1)[0]))))


def _decoded(path: str) -> str:
    for _ in range(_DECODINGS):
        path = unquote(path)
    return path


def _parts(path: str) -> list[str]:
    return [part.partition(";")[0].strip() for part in path.replace("\\", "/").split("/")]
