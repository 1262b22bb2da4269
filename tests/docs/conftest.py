"""The pages are read on a machine without settings."""

from __future__ import annotations

from tests.cli.conftest import home

__all__ = ["home"]
