"""Every command that a page names is one that exists; `tests/docs/test_run.py` runs what can be run here."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs import grammar
from tests.docs.pages import PAGES, SHELL, Block, Step, between, blocks, code, name_of

PROGRAMS = ("curl", "docker", "export", "gunicorn", "headroom", "kubectl", "make", "python", "python3", "ray", "serve", ".venv/bin/")


@pytest.fixture(autouse=True)
def _at_home(home: Path) -> None:
    """No setting of this machine plays a part."""


def typed(page: Path) -> list[Step]:
    """Shell lines of the blocks, commands in the text, and those that stand above what they print."""
    found = []
    for block in blocks(page):
        if block.language in SHELL:
            found += list(block.steps())
        elif not block.language:
            first = block.text.splitlines()[0]
            found += [Step(block.page, block.line, first)] if first.startswith(PROGRAMS) else []
    return found + [step for step in code(page) if step.text.startswith(PROGRAMS)]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_exists(page: Path) -> None:
    told = [f"{step}\n    {problem}" for step in typed(page) for problem in grammar.wrong(step)]
    told += [f"{name_of(page)}:{line}: {problem}" for line, text in between(page) for problem in grammar.variables(text)]
    told += [f"{step}\n    {problem}" for step in code(page) for problem in grammar.routes(step.text)]
    assert not told, "\n".join(["commands that do not exist:", *told])


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("headroom prxy", "no command `prxy`"),
        ("headroom keys make --team data", "no command `make`"),
        ("headroom proxy --fidelty off", "--fidelty"),
        ("headroom proxy --fidelity some", "--fidelity"),
        ("headroom batch IN", "'OUT'"),
        ('x="$(headroom serve --enviroment configs/prod.yaml)"', "--enviroment"),
        ("cat FILE | headroom compress --quest why", "--quest"),
        ("HEADROOM_FIDELITY=some headroom proxy", "HEADROOM_FIDELITY"),
        ("export HEADROOM_FIDELTY=off", "nothing reads HEADROOM_FIDELTY"),
        ("make rn", "no target `rn`"),
        ('make run ARGS="--prt 9000"', "--prt"),
        ("make types ARGS=tests", "nothing of ARGS"),
        ("python -m benchmarks.none", "no module benchmarks.none"),
        ("python -m benchmarks.soak --minuts 40", "--minuts"),
        ("""ray job submit -- python -m serve_app.batch '{"souce": "x"}'""", "souce"),
        ("curl -X POST http://127.0.0.1:8787/livez", "POST /livez"),
        ("curl http://127.0.0.1:8787/v1/compres -d '{}'", "/v1/compres"),
        ("open http://127.0.0.1:8787/dashbord", "/dashbord"),
        ("serve deploy configs/production.yaml", "configs/production.yaml"),
        ("docker build --target server .", "no target server"),
    ],
)
def test_what_does_not_exist_is_told(line: str, problem: str) -> None:
    (step,) = Block("page.md", 1, "sh", f"# a comment\n{line}   # and another\n").steps()
    assert any(problem in told for told in grammar.wrong(step))


def test_a_line_goes_on_behind_a_backslash_and_in_quotes() -> None:
    steps = list(Block("page.md", 7, "sh", "one \\\n  two\n\nthree '\nfour'\n").steps())
    assert [(step.line, step.text) for step in steps] == [(7, "one \\\n  two"), (10, "three '\nfour'")]
