"""Line numbers as `cat -n` and editors print them, without the blanks that align them. Lossless.

A listing whose numbers are right-aligned to one width spends a token or two a line on alignment.
`unpad` takes the blanks out when `pad` puts back exactly what stood there.
"""

from __future__ import annotations

import re

from headroom.ccr import marker

LABEL = "numbered"
_LEAST_LINES = 8
_ALIGNED = re.compile(r"^ *\d{1,7}(?=\t|\u2192|\||: |  )", re.MULTILINE)
_BARE = re.compile(r"^\d{1,7}(?=\t|\u2192|\||: |  )", re.MULTILINE)


def unpad(text: str) -> tuple[str, int] | None:
    """The text with its line numbers at the margin, and the width to which they were aligned; None where that loses something."""
    numbers = [match[0] for match in _ALIGNED.finditer(text)]
    padded = [number for number in numbers if number[0] == " "]
    if len(padded) < _LEAST_LINES:
        return None
    width = len(padded[0])
    bare = _ALIGNED.sub(lambda match: match[0].lstrip(" "), text)
    return (bare, width) if pad(bare, width) == text else None


def pad(bare: str, width: int) -> str:
    """The inverse: every number at the margin right-aligned to `width`."""
    return _BARE.sub(lambda match: match[0].rjust(width), bare)


def shorter(text: str, hash: str) -> str | None:
    """The unpadded text with its head, or None where nothing is aligned."""
    found = unpad(text)
    if found is None:
        return None
    return f"{marker.re_encoded(f'line numbers unpadded from {found[1]}', hash)}\n{found[0]}"


def decode(text: str) -> str:
    """The exact text from what `shorter` made of it; raises ValueError for anything else."""
    head, _, bare = text.partition("\n")
    width = re.match(r"\[line numbers unpadded from (\d+); ", head)
    if width is None:
        raise ValueError("no head of a listing without alignment")
    return pad(bare, int(width[1]))
