"""What `hpo data` shows."""

from io import StringIO

from rich.console import Console

from hpo.report.datasets import DownloadDisplay, known_datasets


def test_a_download_is_shown_in_tenths_where_there_is_no_terminal():
    console = Console(file=StringIO(), width=100)
    with DownloadDisplay(console, "mnist") as display:
        for done in range(0, 10_000_001, 500_000):
            display.watch(done, 10_000_000)

    lines = console.file.getvalue().splitlines()
    assert len(lines) == 10
    assert lines[0] == "mnist: 1.0 of 10.0 MB"
    assert lines[-1] == "mnist: 10.0 of 10.0 MB"


def test_every_data_set_is_bundled_here_or_has_a_download(tmp_path):
    (tmp_path / "mnist").mkdir()  # empty: the download was not finished
    datasets = {dataset.name: dataset for dataset in known_datasets(tmp_path)}

    assert datasets["digits"].is_here
    assert not datasets["mnist"].is_here
    assert datasets["mnist"].download_bytes == 11_594_722
    assert not any(dataset.path for dataset in known_datasets(None))
