"""What the OpenAPI document says of routes whose handlers read the request themselves."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]
TEXT: Schema = {"type": "string"}
OBJECT: Schema = {"type": "object", "additionalProperties": True}


def takes(example: Any, required: tuple[str, ...] = (), **properties: Schema) -> Schema:
    """For a route that takes a JSON object with these members; others are allowed."""
    schema: Schema = {"type": "object", "properties": properties, "additionalProperties": True}
    if required:
        schema["required"] = list(required)
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema, "example": example}}}}


def asks(**parameters: str) -> Schema:
    """For a route with these optional query parameters, each with what it means."""
    described = (
        {"name": name.rstrip("_"), "in": "query", "required": False, "schema": TEXT, "description": meaning}
        for name, meaning in parameters.items()
    )
    return {"parameters": list(described)}


MESSAGES: Schema = {"type": "array", "minItems": 1, "items": OBJECT}
COMPRESS = takes(
    {"model": "gpt-4o", "messages": [{"role": "user", "content": "Why did checkout fail?"}], "config": {"fidelity": "reversible"}},
    ("model", "messages"),
    model=TEXT,
    messages=MESSAGES,
    config={"type": "object", "properties": {"fidelity": {"enum": ["reversible", "lossless", "off"]}}, "additionalProperties": True},
    token_budget={"type": "integer", "minimum": 1, "description": "tokens that the messages may take"},
)
RETRIEVE = takes({"hash": "0123456789abcdef", "query": "needle"}, ("hash",), hash=TEXT, query=TEXT)
TOOL_CALL = takes({"tool_call": {"id": "call_1", "input": {"hash": "0123456789abcdef"}}}, ("tool_call",), tool_call=OBJECT, provider=TEXT)
NUMBER: Schema = {"type": "number"}
KEY = takes({"user": "ada", "team": "data", "budget_usd": 20}, user=TEXT, team=TEXT, budget_usd=NUMBER, rpm=NUMBER)
TEAM = takes({"rpm": 600, "budget_usd": 100, "budget_period": "monthly"}, rpm=NUMBER, budget_usd=NUMBER, budget_period=TEXT)
IMPORT = takes({"patterns": {}}, ("patterns",), patterns=OBJECT)
SELECTION = {
    "team": "only this team's requests",
    "user": "only this user's",
    "model": "only to this model",
    "provider": "only to this provider",
    "client": "only of this client",
    "from_": "from this day or moment on, UTC: 2026-01-31 or 2026-01-31T12:00:00Z",
    "to": "before this one",
}
STATS = asks(**SELECTION)
HISTORY = asks(format="json or csv", series="which one the CSV holds", **SELECTION)
