"""Curves and bars in blocks."""

import math

import pytest

from hpo.report.sparkline import bar, sparkline


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ([], ""),
        ([1.0, 8.0], "▁█"),
        ([1, 2, 3, 4, 5, 6, 7, 8], "▁▂▃▄▅▆▇█"),
        ([0.5, 0.5], "▄▄"),  # neither low nor high
        ([0.0, math.nan, 1.0], "▁ █"),
        ([math.inf], " "),
    ],
)
def test_a_curve_is_a_block_for_each_value(values, line):
    assert sparkline(values) == line


def test_a_long_curve_is_cut_into_stretches_of_equal_length():
    assert sparkline([0, 0, 4, 4, 8, 8], width=3) == "▁▅█"
    assert len(sparkline(range(1000), width=40)) == 40


@pytest.mark.parametrize(
    ("share", "blocks"), [(0, ""), (1, "████"), (0.5, "██"), (0.28125, "█▏"), (2, "████")]
)
def test_a_bar_is_as_long_as_its_share(share, blocks):
    assert bar(share, width=4) == blocks
