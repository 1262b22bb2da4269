"""Policies: what holds for a request by its route, team and model. Ordered rules, of which the first that matches decides.

Text in, values out; files and the store are `headroom.proxy.rollout`'s. What must hold:
- What a rule does not say is what the settings say. A request that no rule matches is treated by the settings alone.
- The version is a digest of the content, so no two contents have one version, whatever they call themselves.
- An error names the line, and no value.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from headroom.errors import Forbidden, SettingsError
from headroom.model import Policy

Mode = Literal["optimize", "shadow", "off"]
_MOST_BYTES = 1_000_000


def _listed(value: Any) -> Any:
    """One pattern may stand without brackets."""
    return (value,) if isinstance(value, str) else value


def _word(value: Any) -> Any:
    """YAML reads a bare `off` as false."""
    return "off" if value is False else value


def _switch(value: Any) -> Any:
    """`cache: off` is short for `cache: {enabled: false}`."""
    return {"enabled": value} if isinstance(value, bool) else value


def _label(value: Any) -> Any:
    """YAML reads a bare number or day as what it is."""
    return str(value) if isinstance(value, int | float | date) and not isinstance(value, bool) else value


Pattern = Annotated[str, Field(min_length=1, max_length=200)]
Patterns = Annotated[tuple[Pattern, ...], Field(min_length=1, max_length=100), BeforeValidator(_listed)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Match(_Part):
    """Patterns (`*`, `?`, `[...]`) of which one must fit, of everything that is given. A team is that of a key or token."""

    route: Patterns | None = None
    team: Patterns | None = None
    model: Patterns | None = None

    def reaches(self, route: str, team: str) -> bool:
        """Whether it may be meant, whatever the model."""
        return _fits(route, self.route) and _fits(team, self.team)

    def meets(self, route: str, team: str, model: str) -> bool:
        return self.reaches(route, team) and _fits(model, self.model)


class CacheRule(_Part):
    """As the settings of `cache` of the same names; `semantic` and `threshold` (a cosine) are for answers to similar questions."""

    enabled: bool | None = None
    sampled: bool | None = None
    single_flight: bool | None = None
    semantic: bool | None = None
    threshold: float | None = Field(None, gt=0, le=1)


class Change(_Part):
    """What a rule sets; None leaves the settings as they are. `models` are patterns of the only models that may be asked for.

    `backend` is the name of a backend or pool of the settings.
    """

    mode: Annotated[Mode | None, BeforeValidator(_word)] = None
    fidelity: Literal["lossless", "reversible"] | None = None
    min_tokens: int | None = Field(None, ge=1)
    llmlingua: bool | None = None
    llmlingua_rate: float | None = Field(None, gt=0, lt=1)
    cache: Annotated[CacheRule, BeforeValidator(_switch)] = CacheRule()
    models: Patterns | None = None
    backend: Annotated[str, Field(pattern=r"^[\w.@+-]{1,100}$")] | None = None


class Rule(_Part):
    """`pin: false` lets a rule hold for conversations that have begun under another, at the price of their cached prefix."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,60}$")]
    match: Match = Match()
    set: Change = Change()
    pin: bool = True


@dataclass(frozen=True, slots=True)
class Treatment:
    """What holds for one request. `rule` is empty where none matched, `version` where there are no policies."""

    policy: Policy
    mode: Mode = "optimize"
    cache: CacheRule = dataclasses.field(default_factory=CacheRule)
    models: tuple[str, ...] = ()
    backend: str = ""
    rule: str = ""
    version: str = ""
    pin: bool = False

    def admit(self, model: str, *, readable: bool = True) -> None:
        """Raises Forbidden for a model that the rule does not allow; one that is not `readable` may be any."""
        if self.models and not (readable and _fits(model, self.models)):
            said = model if readable and model else "(not readable)"
            raise Forbidden(f"The policy {self.rule} does not allow the model {said[:200]} here; it allows {', '.join(self.models)}.")

    def written(self) -> str:
        """What a conversation that began under it keeps: whatever shapes the bytes that are forwarded."""
        policy = self.policy
        kept = {
            "rule": self.rule,
            "version": self.version,
            "mode": self.mode,
            "fidelity": policy.fidelity,
            "min_tokens": policy.min_tokens,
            "llmlingua": policy.llmlingua,
            "llmlingua_rate": policy.llmlingua_rate,
        }
        return json.dumps(kept, separators=(",", ":"))

    def as_begun(self, written: str) -> Treatment:
        """This one, with what the conversation began under; cache, models and backend are always those of now."""
        kept = json.loads(written)
        names = ("fidelity", "min_tokens", "llmlingua", "llmlingua_rate")
        policy = dataclasses.replace(self.policy, **{name: kept[name] for name in names})
        return dataclasses.replace(self, policy=policy, mode=kept["mode"], rule=kept["rule"], version=kept["version"])


class Policies(_Part):
    """A whole file. `version` is what people call it."""

    version: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{0,40}$"), BeforeValidator(_label)] = ""
    rules: Annotated[tuple[Rule, ...], Field(max_length=1000)] = ()

    @property
    def digest(self) -> str:
        """`version-digest`, or the digest alone."""
        content = self.model_dump_json(exclude={"version"}, exclude_unset=True)
        digest = hashlib.sha256(content.encode()).hexdigest()[:12]
        return f"{self.version}-{digest}" if self.version else digest


_PARTS: dict[int | str, type[_Part]] = {"rules": Rule, "match": Match, "set": Change, "cache": CacheRule}


class Table:
    """The rules in force, over what the settings say."""

    def __init__(self, policies: Policies, settings: Policy, mode: Mode = "optimize") -> None:
        self.version = policies.digest
        self.rules = policies.rules
        self._without = Treatment(settings, mode, version=self.version, pin=True)
        self._treatments = {rule.name: _treated(rule, self._without) for rule in policies.rules}

    def treatment(self, route: str, team: str, model: str) -> Treatment:
        """By the first rule that matches."""
        found = next((rule for rule in self.rules if rule.match.meets(route, team, model)), None)
        return self._treatments[found.name] if found else self._without

    def unread(self, route: str, team: str) -> Iterator[Treatment]:
        """Those that a request may have whose model is not known."""
        for rule in self.rules:
            if rule.match.reaches(route, team):
                yield self._treatments[rule.name]
                if rule.match.model is None:
                    return


def _treated(rule: Rule, base: Treatment) -> Treatment:
    change = rule.set
    names = ("fidelity", "min_tokens", "llmlingua", "llmlingua_rate")
    said = {name: value for name in names if (value := getattr(change, name)) is not None}
    return dataclasses.replace(
        base,
        policy=dataclasses.replace(base.policy, **said),
        mode=change.mode or base.mode,
        cache=change.cache,
        models=change.models or (),
        backend=change.backend or "",
        rule=rule.name,
        pin=rule.pin,
    )


def _fits(value: str, patterns: tuple[str, ...] | None) -> bool:
    return patterns is None or any(fnmatchcase(value, pattern) for pattern in patterns)


def parsed(raw: bytes, source: str) -> Policies:
    """The policies of a YAML file. Raises SettingsError naming `source` and the line of what is wrong."""
    import yaml

    if len(raw) > _MOST_BYTES:
        raise SettingsError(f"{source}: larger than {_MOST_BYTES:,} bytes")
    try:
        root = yaml.compose(raw, Loader=yaml.SafeLoader)
        if root is not None:
            _once(root, source)
        tree = yaml.safe_load(raw)
    except yaml.MarkedYAMLError as failure:
        mark = failure.problem_mark or failure.context_mark
        where = f", line {mark.line + 1}" if mark else ""
        raise SettingsError(f"{source}{where}: not valid YAML: {failure.problem or failure.context}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as failure:
        raise SettingsError(f"{source}: not valid YAML: {str(failure).splitlines()[0]}") from None
    return checked(tree if tree is not None else {}, source, root)


def checked(tree: Any, source: str, root: Any = None) -> Policies:
    """The policies of a tree as YAML reads it; `root` is its node, for the lines. Raises SettingsError."""

    def said(place: tuple[int | str, ...], what: str) -> str:
        line = f", line {_line(root, place)}" if root is not None else ""
        return f"{source}{line}: {'.'.join(map(str, place)) or 'policies'}: {what}"

    try:
        policies = Policies.model_validate(tree)
    except ValidationError as failure:
        problems = failure.errors(include_url=False, include_input=False)
        raise SettingsError("\n".join(said(problem["loc"], _wrong(problem)) for problem in problems)) from None
    names: set[str] = set()
    for number, rule in enumerate(policies.rules):
        if rule.name in names:
            raise SettingsError(said(("rules", number, "name"), "another rule has this name"))
        names.add(rule.name)
    return policies


def _wrong(problem: ErrorDetails) -> str:
    """What is wrong, in words for who wrote it; of a name that is none, what was meant or what there is."""
    if problem["type"] != "extra_forbidden":
        return problem["msg"]
    *around, name = problem["loc"]
    known = next((_PARTS[part] for part in reversed(around) if part in _PARTS), Policies).model_fields
    like = difflib.get_close_matches(str(name), known, n=1)
    return f"unknown; did you mean {like[0]}?" if like else f"unknown; here may stand {', '.join(known)}"


def _once(root: Any, source: str) -> None:
    """Of two equal keys YAML would keep the last, silently."""
    import yaml

    waiting, met = [root], set()
    while waiting:
        node = waiting.pop()
        if id(node) in met:
            continue
        met.add(id(node))
        if isinstance(node, yaml.MappingNode):
            first: dict[str, int] = {}
            for key, value in node.value:
                name, line = str(key.value), key.start_mark.line + 1
                if name in first:
                    raise SettingsError(f"{source}, line {line}: {name} stands there twice, first in line {first[name]}")
                first[name] = line
                waiting.append(value)
        elif isinstance(node, yaml.SequenceNode):
            waiting += node.value


def _line(root: Any, place: tuple[int | str, ...]) -> int:
    """Where the value at `place` stands, or what should hold it."""
    import yaml

    node, line = root, root.start_mark.line + 1
    for part in place:
        if isinstance(node, yaml.MappingNode):
            pair = next((pair for pair in node.value if pair[0].value == str(part)), None)
            if pair is None:
                break
            line, node = pair[0].start_mark.line + 1, pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            break
    return int(line)
