"""`headroom embedding`: the files with which an embedding model runs fast on a processor."""

from __future__ import annotations

import statistics
from pathlib import Path

import click

from headroom.cli.terminal import console


@click.group("embedding")
def command() -> None:
    """Make embedding models fast on this machine."""


@command.command("export")
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--float32", "float32_only", is_flag=True, help="Without the int8 file: slower, and the same vectors as torch's.")
def export(directory: Path, float32_only: bool) -> None:
    """Write ONNX files for the model in DIRECTORY: in float32, and in int8 for processors like this one.

    With them onnxruntime makes the vectors, several times faster than torch. They are compared with torch's vectors of sample texts
    and written only if they agree; exit code 1 otherwise. Needs headroom[embed-export].
    """
    from headroom.cli.embedding_export import write

    for made in write(directory, int8=not float32_only):
        console().print(
            f"{made.file}: {made.file.stat().st_size / 1e6:.0f} MB, {made.ms:.1f} ms for a short text (torch {made.torch_ms:.1f}); "
            f"cosine with torch's vectors of {len(made.cosines)} texts: mean {statistics.mean(made.cosines):.4f}, "
            f"least {min(made.cosines):.4f}"
        )
