"""The keys of callers and the allowances of teams over HTTP, for whoever has the admin key. A key itself is told once, when it is made."""

from __future__ import annotations

import json
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from headroom.errors import InvalidRequest
from headroom.limits import keys, teams
from headroom.proxy import openapi
from headroom.proxy.admission import admit_operator
from headroom.proxy.body import read_body
from headroom.proxy.services import Services

_SMALL_BODY = 1_000_000


def keys_routes(router: APIRouter, services: Services) -> None:
    """Add `/admin/keys` and `/admin/teams`; closed where no admin key is set."""
    store = services.store

    @router.post("/admin/keys", summary="Make a key; it is told this once", openapi_extra=openapi.KEY)
    async def create(request: Request) -> Response:
        admit_operator(request.headers, services.settings, always=True)
        wanted = _object((await read_body(request.headers, request.receive, _SMALL_BODY)).decoded)
        key, grant = await store.use(lambda records: keys.create(records, wanted))
        return JSONResponse({"key": key, **keys.shown(grant)}, 201)

    @router.get("/admin/keys", summary="All keys of the store, without the keys themselves")
    async def listed(request: Request) -> Response:
        admit_operator(request.headers, services.settings, always=True)
        return JSONResponse({"keys": [keys.shown(grant) for grant in await store.use(keys.listed)]})

    @router.get("/admin/keys/{id}", summary="One key, and what it, its team and everybody spent in the current period")
    async def one(request: Request, id: str) -> Response:
        admit_operator(request.headers, services.settings, always=True)
        grant = await store.use(lambda records: keys.named(records, id))
        return JSONResponse({**keys.shown(grant), "spent_usd": await services.admission.spent(grant)})

    @router.delete("/admin/keys/{id}", summary="Revoke a key")
    async def revoke(request: Request, id: str) -> Response:
        admit_operator(request.headers, services.settings, always=True)
        return JSONResponse(keys.shown(await store.use(lambda records: keys.revoke(records, id))))

    @router.get("/admin/teams", summary="The allowances of teams in the store")
    async def all_teams(request: Request) -> Response:
        admit_operator(request.headers, services.settings, always=True)
        found = await store.use(teams.listed)
        return JSONResponse({"teams": [teams.shown(name, allowance) for name, allowance in found.items()]})

    @router.put("/admin/teams/{name}", summary="Set what a team is allowed, in place of what it was", openapi_extra=openapi.TEAM)
    async def put_team(request: Request, name: str) -> Response:
        admit_operator(request.headers, services.settings, always=True)
        wanted = _object((await read_body(request.headers, request.receive, _SMALL_BODY)).decoded)
        return JSONResponse(teams.shown(name, await store.use(lambda records: teams.put(records, name, wanted))))

    @router.delete("/admin/teams/{name}", summary="Take a team's allowance away")
    async def drop_team(request: Request, name: str) -> Response:
        admit_operator(request.headers, services.settings, always=True)
        await store.use(lambda records: teams.drop(records, name))
        return JSONResponse({"team": name, "removed": True})


def _object(raw: bytes) -> dict[str, Any]:
    try:
        value = json.loads(raw or b"{}")
    except (ValueError, RecursionError) as failure:
        raise InvalidRequest(f"The request body is not valid JSON: {failure}") from None
    if not isinstance(value, dict):
        raise InvalidRequest("The request body must be a JSON object.")
    return value
