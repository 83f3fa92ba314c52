"""Costs: estimates of time, and their correction by measured times."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo.engine.programs.costs import Costs, read_costs, write_costs


@given(st.floats(0.01, 100), st.floats(0.01, 100))
def test_costs_move_towards_the_measured_times(known: float, ratio: float) -> None:
    ratio = min(max(ratio, known / 4), known * 4)
    after = Costs(compiling=known).seen(ratio, None)
    assert min(known, ratio) - 1e-9 <= after.compiling <= max(known, ratio) + 1e-9
    assert after.running == 1.0


def test_costs_are_kept_for_later_runs(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    assert read_costs(folder) == Costs()
    write_costs(folder, Costs(2.0, 0.5))
    assert read_costs(folder) == Costs(2.0, 0.5)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        '{"compiling": -1, "running": 1}',
        '{"a": 1}',
        '{"compiling": 1e308, "running": 1}',
        pytest.param("[" * 100_000, id="nested"),
    ],
)
def test_damaged_costs_count_as_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "costs.json").write_text(content)
    assert read_costs(tmp_path) == Costs()


def test_costs_that_another_user_can_have_written_count_as_none(tmp_path: Path) -> None:
    write_costs(tmp_path, Costs(2.0, 0.5))
    (tmp_path / "costs.json").chmod(0o666)
    assert read_costs(tmp_path) == Costs()


def test_costs_are_rounded_for_a_decision() -> None:
    assert Costs(1.3, 0.6).rounded == Costs(1.0, 0.5)


def test_one_slow_run_moves_costs_by_little() -> None:
    assert Costs().seen(1e6, None).compiling == pytest.approx(4**0.3)
