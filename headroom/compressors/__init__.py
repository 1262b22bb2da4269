"""One compressor per kind of text."""

from headroom.compressors.base import Compressor
from headroom.compressors.json_rows import JsonRows

COMPRESSORS: dict[str, Compressor] = {"json": JsonRows()}

__all__ = ["COMPRESSORS", "Compressor"]
