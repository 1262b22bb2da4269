"""Small models with random weights, one of each family, made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from headroom.cli.llmlingua_texts import many
from tests.lingua_models import FAMILIES, make


@pytest.fixture(scope="session", params=FAMILIES)
def lingua_model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of one; its name is the family's."""
    return make(tmp_path_factory.mktemp("lingua"), request.param, many(108))
