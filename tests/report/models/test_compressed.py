"""What `hpo compress` prints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from hpo.report.models.compressed import compressed_view
from hpo.trained.compress import Compressed

_NONE: Any = None  # nothing of the smaller model itself is shown


@pytest.mark.parametrize("is_comparable", [True, False])
def test_a_model_is_shown_before_and_after(is_comparable: bool) -> None:
    before = {"validation": {"loss": 0.5, "accuracy": 0.9}, "test": None}
    after = {"validation": {"loss": 0.75, "accuracy": 0.875}, "test": None}
    console = Console(width=90)
    with console.capture() as printed:
        found = Compressed(4000, 1000, before, after, is_comparable, _NONE)
        console.print(compressed_view(found, Path("a/model"), "small"))
    lines = [line.split() for line in printed.get().splitlines()]
    assert lines[1:5] == [
        ["model", "small", "change"],
        ["bytes", "4,000", "1,000", "4.0", "times", "fewer"],
        ["validation", "loss", "0.5000", "0.7500", "+0.2500"],
        ["validation", "accuracy", "0.9000", "0.8750", "-0.0250"],
    ]
    with console.capture() as printed:
        found = Compressed(1000, 4000, before, after, is_comparable, _NONE)
        console.print(compressed_view(found, Path("a/model"), "small"))
    assert "1,000 4,000 4.0 times as many" in " ".join(printed.get().split())
    assert ("metrics are of other rows" in printed.get()) is not is_comparable
