"""Every notebook runs from its first cell to its last over the data of a company, and draws what it says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient

from notebooks import sample_data

NOTEBOOKS = sorted(Path(sample_data.__file__).parent.glob("*.ipynb"))
PLOTS = {"asked_again": 4, "capacity": 4, "latency": 4, "prompt_cache": 4, "savings": 4}  # at least


@pytest.fixture(scope="module")
def kernel() -> Iterator[KernelManager]:
    """One for all notebooks: to start it and to import what they draw with takes longer than most of them."""
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(cwd=str(NOTEBOOKS[0].parent))
    yield manager
    manager.shutdown_kernel(now=True)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_it_runs(file: Path, company: Path, kernel: KernelManager) -> None:
    book = nbformat.read(file, as_version=4)
    assert all(not cell.get("outputs") and cell.get("execution_count") is None for cell in book.cells), "outputs are not kept in git"
    (parameters,) = (cell for cell in book.cells if "parameters" in cell.metadata.get("tags", ()))
    assert '"~/.headroom/stats"' in parameters.source
    parameters.source = parameters.source.replace('"~/.headroom/stats"', repr(str(company)))
    book.cells.insert(0, nbformat.v4.new_code_cell("%reset -f"))  # nothing of the one before
    NotebookClient(book, timeout=300, km=kernel).execute()
    outputs = [output for cell in book.cells for output in cell.get("outputs", ())]
    warned = [output.text for output in outputs if output.output_type == "stream" and "Warning" in output.text]
    assert warned == []
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= PLOTS[file.stem]


def test_every_notebook_is_known() -> None:
    assert {file.stem for file in NOTEBOOKS} == set(PLOTS)


def test_the_sample_is_a_ledger_as_headroom_writes_it(company: Path, tmp_path: Path) -> None:
    """Sums of every series agree, and a book opened on it goes on from there."""
    from headroom.stats.board import Wish
    from headroom.stats.book import Book
    from headroom.stats.places import Places
    from headroom.stats.series import SERIES

    book = Book(Places(company, str(company)), 21, tmp_path / "savings.json")
    total = book.look().total
    assert total["requests"] == 3000
    assert 0 < total["saved_nanousd"] < total["counterfactual_nanousd"]
    for series in SERIES:
        board = book.board(Wish(series=series))
        assert board.total["saved_nanousd"] == total["saved_nanousd"]
        assert board.total["retrieved/log"] == total["retrieved/log"]


def test_a_folder_with_files_in_it_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "summary.json").write_text("{}")
    monkeypatch.setattr("sys.argv", ["sample_data", str(tmp_path)])
    with pytest.raises(SystemExit):
        sample_data.main()
    assert "is not empty" in capsys.readouterr().err
    assert (tmp_path / "summary.json").read_text() == "{}"
