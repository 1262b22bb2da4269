"""One compressor per kind of text."""

from headroom.compressors.base import Compressor
from headroom.compressors.code import Code
from headroom.compressors.diff import Diff
from headroom.compressors.html import Html
from headroom.compressors.json_rows import JsonRows
from headroom.compressors.log import Log
from headroom.compressors.prose import Prose
from headroom.compressors.search import Search
from headroom.compressors.table import Tables
from headroom.compressors.text import Text

COMPRESSORS: dict[str, Compressor] = {
    "code": Code(),
    "diff": Diff(),
    "html": Html(),
    "json": JsonRows(),
    "log": Log(),
    "prose": Prose(),
    "search": Search(),
    "table": Tables(),
    "unknown": Text(),
}

__all__ = ["COMPRESSORS", "Compressor"]
