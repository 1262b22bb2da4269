"""A YAML held against Ray Serve's schema, and what it says under `args` against the models of our builders, before anything starts.

What the environment says is left to the builder: it is that of the head node.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from ray._common.utils import import_attr
from ray.serve.schema import ServeApplicationSchema, ServeDeploySchema

from headroom.cli.serve import described
from headroom.errors import SettingsError
from headroom.settings import in_words

_OURS = ("serve_app.app:build", "serve_app.llmlingua:build")
_OTHER_CODE = ("working_dir", "py_modules")  # of a runtime_env; what is imported there need not be what is installed here


def check(config: Path) -> None:
    """Raises SettingsError with a line for each thing that is wrong: the file, the key, and what was probably meant."""
    tree = described(config)
    try:
        applications = ServeDeploySchema.model_validate(tree).applications
    except ValidationError as failure:
        problems = [_line(problem["loc"], _plain(problem["msg"])) for problem in _problems(failure)]
    else:
        problems = [f"application {one.name}: {problem}" for one in applications for problem in _wrong(one)]
    if problems:
        raise SettingsError("\n".join(f"{config}: {problem}" for problem in problems))


def _wrong(application: ServeApplicationSchema) -> Iterator[str]:
    """Of one of ours; nothing of an application that is somebody else's."""
    path = application.import_path
    if not path.startswith("serve_app.") or any((application.runtime_env or {}).get(name) for name in _OTHER_CODE):
        return
    try:
        builder = import_attr(path)
    except (ModuleNotFoundError, AttributeError) as failure:
        if isinstance(failure, ModuleNotFoundError) and not (failure.name or "").startswith("serve_app."):
            raise
        near = difflib.get_close_matches(path, _OURS, n=1)
        yield f"import_path: there is no {path}; " + (f"did you mean {near[0]}?" if near else f"ours are {' and '.join(_OURS)}")
        return
    (parameter,) = inspect.signature(builder).parameters.values()  # as Ray Serve finds it
    model: type[BaseModel] = parameter.annotation
    try:
        model.model_validate(application.args)
    except ValidationError as failure:
        yield from (_line(("args", *problem["loc"]), _said(model, problem)) for problem in _problems(failure))


def _said(model: type[BaseModel], problem: ErrorDetails) -> str:
    """What is wrong with a key or value under `args`."""
    *around, name = problem["loc"] or ("",)
    if around[:1] == ["settings"]:
        return _plain(in_words({**problem, "loc": problem["loc"][1:]}))
    if problem["type"] != "extra_forbidden":
        return _plain(problem["msg"])
    here = model
    for part in around:
        field = here.model_fields.get(str(part))
        here = next(_models(field.annotation), here) if field else here
    near = difflib.get_close_matches(str(name), here.model_fields, n=1)
    return "there is no such key; " + (f"did you mean {near[0]}?" if near else f"here may stand {', '.join(here.model_fields)}")


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models in an annotation, such as that of `X | None`."""
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)


def _problems(failure: ValidationError) -> list[ErrorDetails]:
    return failure.errors(include_url=False, include_input=False)


def _line(place: tuple[int | str, ...], what: str) -> str:
    return ": ".join(filter(None, (".".join(map(str, place)), what)))


def _plain(message: str) -> str:
    """Without what pydantic puts before the words of a validator, and in one line."""
    return " ".join(message.removeprefix("Value error, ").split())
