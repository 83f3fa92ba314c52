"""Ranges that follow the search."""

from dataclasses import replace
from fractions import Fraction
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo.search.levels import position_of
from hpo.search.proposals import remaining
from hpo.search.proposals.moving_ranges import next_move, widest, with_moves
from hpo.search.proposals.stack import make_sampler
from hpo.search.proposals.warm_start import EarlierStudy, WarmStart
from hpo.search.sampler import Setting
from hpo.space import Choice, Condition, Dimension, Float, Int, RangeMove, SearchSpace, values_of
from hpo.spec.schema import variants_of
from hpo.spec.sections.scheduler import NoScheduler
from hpo.spec.sections.search import Random, SearchSpec, Tpe
from hpo.trial import Trial, TrialState

RATE = Dimension("rate", Float(1e-3, 1e-1, log=True), limits=(1e-5, 0.5))
SPACE = SearchSpace((RATE, Dimension("kind", Choice(("a", "b")))))


def trials_of(space, count, loss, number=0):
    drawn = []
    for k in range(count):
        hparams = space.at([(k * 0.618034) % 1] * len(space))
        drawn.append(Trial(number + k, hparams, TrialState.COMPLETE, (loss(hparams),)))
    return drawn


@pytest.mark.parametrize(
    ("loss", "low", "high"),
    [
        (lambda h: h["rate"], 1e-4, 1e-1),  # the lowest are best: half of two decades further down
        (lambda h: -h["rate"], 1e-3, 0.5),  # the highest: as far as the limit
    ],
)
def test_a_bound_at_which_the_best_trials_crowd_moves_out(loss, low, high):
    move = next_move(SPACE, trials_of(SPACE, 60, loss), 0)
    assert (move.path, move.low, move.high) == ("rate", pytest.approx(low), pytest.approx(high))
    assert move.trials == 60
    assert "of the best 15 trials lie in its" in move.reason


def test_an_end_without_good_trials_is_cut_off():
    def loss(hparams):
        return abs(position_of(RATE.distribution, hparams["rate"]) - 0.7)

    move = next_move(SPACE, trials_of(SPACE, 40, loss), 0)
    assert (move.low, move.high) == (pytest.approx(10**-2.6, rel=1e-5), 1e-1)
    assert move.reason == "none of the best 20 trials lies in its lowest fifth"


def test_nothing_moves_without_evidence_or_so_soon_after_a_move():
    crowded = trials_of(SPACE, 40, lambda h: h["rate"])
    assert next_move(SPACE, crowded[:19], 0) is None
    assert next_move(SPACE, crowded, 31) is None
    assert next_move(SPACE, crowded, 30) is not None
    level = trials_of(SPACE, 40, lambda h: (h["rate"] * 1e6) % 1)
    assert next_move(SPACE, level, 0) is None
    diverged = [Trial(t.number, t.hparams, TrialState.DIVERGED) for t in crowded]
    assert next_move(SPACE, diverged, 0) is None


def test_a_bound_at_its_limit_and_a_range_without_limits_stay():
    fixed = SearchSpace((Dimension("rate", RATE.distribution, limits=(1e-3, 1e-1)),))
    # What may still happen there is that the other end is cut off.
    move = next_move(fixed, trials_of(fixed, 60, lambda h: h["rate"]), 0)
    assert move.low == 1e-3
    assert move.high < 1e-1
    plain = SearchSpace((Dimension("rate", RATE.distribution),))
    assert next_move(plain, trials_of(plain, 40, lambda h: h["rate"]), 0) is None


# By their number of levels; None is a continuous range.
LEVELS = {
    **{n: Dimension("x", Int(1, n), limits=(-200, 201 + n)) for n in (2, 3, 4, 5, 6, 7, 9, 25)},
    "steps": Dimension("x", Float(0.1, 0.4, step=0.1), limits=(-20.0, 20.5)),
    None: Dimension("x", Float(0.0, 1.0), limits=(-20.0, 21.0)),
}


def at_places(dimension, places, losses):
    """Complete trials at places on the scale of a range."""
    return [
        Trial(n, {"x": dimension.distribution.at(place)}, TrialState.COMPLETE, (loss,))
        for n, (place, loss) in enumerate(zip(places, losses, strict=True))
    ]


@pytest.mark.parametrize("levels", LEVELS)
@pytest.mark.parametrize("side", [-1, 1])
def test_a_range_of_however_few_values_widens_where_the_best_are_at_its_end(levels, side):
    dimension = LEVELS[levels]
    space, old = SearchSpace((dimension,)), dimension.distribution
    for first in (60, 80):
        move = next_move(space, trials_of(space, first, lambda h: -side * h["x"]), 0)
        moved = with_moves(space, [move]).by_path["x"].distribution
        out, kept = (move.low, move.high) if side < 0 else (move.high, move.low)
        assert kept == (old.high if side < 0 else old.low)
        assert side * out > side * (old.low if side < 0 else old.high)
        if old.step:  # by half of its levels, and one at least
            assert moved.size == old.size + max(1, old.size // 2)


@settings(deadline=None, max_examples=200)
@given(st.sampled_from(list(LEVELS)), st.integers(20, 90), st.integers(0, 10**6), st.data())
def test_mirrored_trials_have_the_mirrored_move(levels, count, seed, data):
    dimension = LEVELS[levels]
    rng = np.random.default_rng(seed)
    # Beside no threshold, because a float and its mirror image are rounded apart.
    places = (rng.integers(1000, size=count) + 0.5) / 1000
    slope, noise = data.draw(st.floats(-1, 1)), data.draw(st.floats(0, 1))
    losses = slope * places + noise * rng.random(count) + data.draw(st.floats(0, 3)) * places**2
    space, middle = SearchSpace((dimension,)), sum(dimension.limits) / 2
    move = next_move(space, at_places(dimension, places, losses), 0)
    trials = [
        replace(t, hparams={"x": type(t.hparams["x"])(round(2 * middle - t.hparams["x"], 9))})
        for t in at_places(dimension, places, losses)
    ]
    mirrored = next_move(space, trials, 0)
    assert (move is None) == (mirrored is None)
    if move is not None:
        assert move.low + mirrored.high == pytest.approx(2 * middle, abs=1e-5)
        assert move.high + mirrored.low == pytest.approx(2 * middle, abs=1e-5)


LOG_WHOLE = Dimension("x", Int(2, 9, log=True), limits=(1, 4000))


@pytest.mark.parametrize("dimension", [*LEVELS.values(), LOG_WHOLE], ids=[*LEVELS, "log whole"])
def test_noise_moves_a_range_no_more_often_than_its_tests_allow(dimension):
    space, rng, looks = SearchSpace((dimension,)), np.random.default_rng(3), 200
    widened = moved = 0
    for _ in range(looks):
        trials = at_places(dimension, rng.random(60), rng.random(60))
        widened += next_move(space, trials, 0, may_narrow=False) is not None
        moved += next_move(space, trials, 0) is not None
    # Two tests to widen and two to narrow, each wrong in at most 1 of 50: and 3 deviations.
    assert widened <= looks * 2 / 50 + 3 * (looks * 2 / 50) ** 0.5
    assert moved <= looks * 4 / 50 + 3 * (looks * 4 / 50) ** 0.5


@pytest.mark.parametrize(
    ("distribution", "best", "expected"),
    [
        (Int(8, 64, log=True), 64, (8, 181)),
        (Int(8, 64, log=True), 8, (3, 64)),
        (Int(2, 3, log=True), 3, (2, 4)),
        (Int(2, 3, log=True), 2, (1, 3)),
    ],
)
def test_whole_numbers_on_a_log_scale_widen_by_half_of_it_and_one_at_least(
    distribution, best, expected
):
    space = SearchSpace((Dimension("x", distribution, limits=(1, 4000)),))
    move = next_move(space, trials_of(space, 80, lambda h: abs(h["x"] - best)), 0)
    assert (move.low, move.high) == expected


@pytest.mark.parametrize(
    ("distribution", "expected"),
    [
        (Int(1, 2), None),  # one level alone is no range
        (Int(1, 3), (2, 3)),
        (Int(1, 9), (2, 9)),
        (Int(1, 12), (3, 12)),
        (Int(0, 8, step=2), (2, 8)),
        (Float(0.1, 0.9, step=0.2), (0.3, 0.9)),
        (Int(2, 9, log=True), (3, 9)),
    ],
)
def test_an_empty_end_is_cut_off_by_whole_levels_and_never_to_one(distribution, expected):
    limits = (distribution.low, distribution.high)
    space = SearchSpace((Dimension("x", distribution, limits=limits),))
    move = next_move(space, trials_of(space, 80, lambda h: -h["x"]), 0)
    assert (move and (move.low, move.high)) == expected


def test_the_reason_of_a_move_names_a_value_where_that_is_more_than_a_tenth():
    space = SearchSpace((LEVELS[4],))
    move = next_move(space, trials_of(space, 60, lambda h: h["x"]), 0)
    assert move.reason == "15 of the best 15 trials lie at its lowest value"


SPACES = {
    "log": SPACE,
    "linear": SearchSpace((Dimension("x", Float(0.0, 1.0), limits=(-1.0, 1.2)),)),
    "whole": SearchSpace((Dimension("x", Int(1, 10), limits=(1, 40)),)),
    "log whole": SearchSpace((Dimension("x", Int(8, 64, log=True), limits=(1, 512)),)),
    "conditional": SearchSpace(
        (
            Dimension("kind", Choice(("a", "b"))),
            Dimension("x", Float(0.0, 1.0), Condition("kind", ("b",)), limits=(-5.0, 5.0)),
        )
    ),
}


@settings(deadline=None, max_examples=30)
@given(st.sampled_from(sorted(SPACES)), st.floats(-1, 2), st.integers(0, 4))
def test_ranges_stay_within_their_limits_however_often_they_move(name, best, seed):
    space, moves, trials = SPACES[name], [], []

    def loss(hparams):
        value = hparams.get("rate", hparams.get("x", 0))
        place = space.dimensions[-1 if name == "conditional" else 0]
        return abs(position_of(widest(space).by_path[place.path].distribution, value) - best)

    for _ in range(6):
        ranges = with_moves(space, moves)
        trials += trials_of(ranges, 20, loss, len(trials))
        move = next_move(ranges, trials, moves[-1].trials if moves else 0)
        if move is not None:
            low, high = space.by_path[move.path].limits
            assert low <= move.low < move.high <= high
            assert type(move.low) is type(space.by_path[move.path].distribution.low)
            moves.append(move)


def make(spec, moves, space=SPACE):
    setting = Setting(0, trials=100, epochs=9, scheduler=NoScheduler(name="none"))
    warm_start = WarmStart(moves=lambda: moves, record=moves.append)
    return make_sampler(spec, space, setting, warm_start)


@pytest.mark.parametrize("spec", [Random(name="random"), Tpe(name="tpe", startup_trials=5)])
def test_a_sampler_follows_its_ranges_and_a_resumed_one_replays_them(spec):
    moves = []
    sampler, trials = make(spec, moves), []
    for number in range(60):
        (hparams,) = sampler.ask(trials, 1)
        if number == 30:
            sampler = make(spec, moves)  # as after a resume: only the moves are kept
        low, high = (moves[-1].low, moves[-1].high) if moves else (1e-3, 1e-1)
        assert low <= hparams["rate"] <= high
        trials.append(Trial(number, hparams, TrialState.COMPLETE, (hparams["rate"],)))
    assert min(move.low for move in moves) < 1e-3
    before = len(moves)
    assert make(spec, moves).ask(trials, 1) == make(spec, moves[:]).ask(trials, 1)
    assert len(moves) <= before + 1


def test_the_widest_space_has_every_limit():
    assert widest(SPACE).by_path["rate"].distribution == Float(1e-5, 0.5, log=True)
    moved = with_moves(SPACE, [RangeMove("rate", 1e-4, 1e-2, 20, "")])
    assert moved.by_path["rate"].distribution == Float(1e-4, 1e-2, log=True)
    assert moved.by_path["kind"] == SPACE.by_path["kind"]


@pytest.mark.parametrize(
    ("distribution", "limits", "move", "expected"),
    [
        (Float(0.2, 0.4), (0.1, 0.5), (0.0, 0.9), Float(0.1, 0.5)),
        (Float(0.2, 0.4), (0.1, 0.5), (0.6, 0.9), Float(0.2, 0.4)),
        (Float(0.01, 0.4, log=True), (1e-3, 0.5), (0.0, 0.3), Float(1e-3, 0.3, log=True)),
        (Int(2, 8), (1, 9), (1.5, 7.5), Int(2, 7)),
        (Int(2, 8), (1, 9), (3.2, 3.8), Int(2, 8)),
    ],
)
def test_moves_from_before_a_changed_spec_keep_to_its_limits(distribution, limits, move, expected):
    space = SearchSpace((Dimension("x", distribution, limits=limits),))
    written = (distribution.low, distribution.high)
    # Earlier versions did not record what was written.
    for known in (written, None):
        moved = with_moves(space, [RangeMove("x", *move, 20, "", known)])
        assert moved.by_path["x"].distribution == expected
    moved.at([0.0])


@pytest.mark.parametrize("name", ["gp", "extra_trees", "curve_gp"])
def test_earlier_results_beyond_the_present_range_are_left_out_until_it_widens(name):
    space = SearchSpace((Dimension("x", Float(0.2, 0.4), limits=(0.0, 1.0)),))
    earlier = tuple(
        Trial(n, {"x": n / 20}, TrialState.COMPLETE, (abs(n / 20 - 0.3),)) for n in range(21)
    )
    setting = Setting(0, trials=100, epochs=1, scheduler=NoScheduler(name="none"))
    known = WarmStart(studies=(EarlierStudy(earlier, is_comparable=True),))
    spec = variants_of(SearchSpec, "sampler").specs[name](name=name, startup_trials=3)
    (hparams,) = make_sampler(spec, space, setting, known).ask([], 1)
    assert 0.2 <= hparams["x"] <= 0.4
    # Those within it are looked at: the draw without them is another.
    assert make_sampler(spec, space, setting).ask([], 1) != [hparams]


def all_of(spec, space, moves, count, loss, is_resumed=True):
    """Every trial that a study of a small space comes to, `count` proposed at a time."""
    trials, sampler = [], make(spec, moves, space)
    while len(trials) < 200:
        if is_resumed:
            sampler = make(spec, moves, space)
        asked = sampler.ask(trials, count)
        for hparams in asked:
            trials.append(Trial(len(trials), hparams, TrialState.COMPLETE, (loss(hparams),)))
        if len(asked) < count:
            break
    return trials


@pytest.mark.parametrize("spec", [Random(name="random"), Tpe(name="tpe", startup_trials=5)])
@pytest.mark.parametrize("count", [1, 7])
def test_exhausted_ranges_become_as_wide_as_their_limits(spec, count):
    space = SearchSpace(
        (
            Dimension("x", Int(1, 6), limits=(1, 30)),
            Dimension("y", Int(2, 3), limits=(2, 3)),
        )
    )
    moves = []
    trials = all_of(spec, space, moves, count, lambda h: abs(h["x"] - 5))
    tried = sorted((trial.hparams["x"], trial.hparams["y"]) for trial in trials)
    assert tried == [(x, y) for x in range(1, 31) for y in (2, 3)]
    assert moves[0] == RangeMove(
        "x", 1, 30, 12, "every configuration in the ranges has been tried", (1, 6)
    )
    assert all(1 <= t.hparams["x"] <= 6 for t in trials[:12])
    assert len(moves) == 1  # what is tried whole is not narrowed again


@st.composite
def stepped(draw):
    """A dimension in steps of a few digits, and limits that need not lie on its grid."""
    if draw(st.booleans()):
        low, step = draw(st.integers(-50, 50)), draw(st.integers(1, 9))
        width, below, above = (draw(st.integers(0, 90)) for _ in range(3))
        high = low + step + width
        return Dimension("x", Int(low, high, step=step), limits=(low - below, high + above))
    digits = draw(st.integers(1, 4))
    low, step = draw(st.integers(-999, 999)) / 10**digits, draw(st.integers(1, 40)) / 10**digits
    width, below, above = (draw(st.floats(0, 20)) * step for _ in range(3))
    high = low + 1.01 * step + width
    return Dimension("x", Float(low, high, step=step), limits=(low - below, high + above))


def on_grid(value, distribution):
    steps = (Fraction(str(value)) - Fraction(str(distribution.low))) / Fraction(
        str(distribution.step)
    )
    return steps.denominator == 1


@settings(deadline=None, max_examples=80)
@given(stepped(), st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=4))
def test_wherever_a_stepped_range_moves_its_values_are_steps_from_the_low_that_is_written(
    dimension, places
):
    space = SearchSpace((dimension,))
    written, (least, most) = dimension.distribution, dimension.limits
    for one, other in places:
        low, high = sorted(least + place * (most - least) for place in (one, other))
        ranges = with_moves(space, [RangeMove("x", low, high, 20, "")])
        assert widest(ranges).by_path["x"].distribution.size == widest(space).size
        for wider in (ranges, widest(space), widest(ranges)):
            values = values_of(wider.by_path["x"].distribution)
            assert len(values) >= 2
            assert all(on_grid(value, written) for value in values)
            assert least - 1e-9 <= min(values) <= max(values) <= most + 1e-9
    assert set(values_of(written)) <= set(values_of(widest(space).by_path["x"].distribution))


@settings(deadline=None, max_examples=40)
@given(stepped(), st.floats(0, 1), st.integers(6, 60))
def test_a_stepped_range_decides_to_move_by_whole_steps(dimension, best, count):
    space, moves, trials = SearchSpace((dimension,)), [], []
    full = widest(space).by_path["x"].distribution
    for _ in range(4):
        ranges = with_moves(space, moves)
        trials += trials_of(
            ranges, count, lambda h: abs(position_of(full, h["x"]) - best), len(trials)
        )
        move = next_move(ranges, trials, moves[-1].trials if moves else 0)
        if move is not None:
            assert move.low == dimension.distribution.low or on_grid(
                move.low, dimension.distribution
            )
            moves.append(move)
            kept = with_moves(space, moves).by_path["x"].distribution
            inside = {t.hparams["x"] for t in trials if kept.low <= t.hparams["x"] <= kept.high}
            assert inside <= set(values_of(kept))


def test_ranges_in_which_rules_allow_nothing_new_become_as_wide_as_their_limits(
    monkeypatch,
):
    monkeypatch.setattr(remaining, "DRAWS", 500)

    class Low:
        text, deciding = "", frozenset({"x"})
        landmarks: ClassVar = {}

        def forbids(self, hparams):
            return hparams["x"] < 0.5

    dimension = Dimension("x", Float(0.0, 0.4), limits=(0.0, 1.0))
    moves = []
    space = SearchSpace((dimension,), rules=(Low(),))
    (hparams,) = make(Random(name="random"), moves, space).ask([], 1)
    assert hparams["x"] >= 0.5
    assert [(move.low, move.high, move.reason) for move in moves] == [
        (0.0, 1.0, "no other configuration that the rules allow was found in the ranges")
    ]


def test_a_stepped_range_that_is_used_up_goes_on_by_the_same_steps():
    space = SearchSpace((Dimension("x", Float(0.3, 0.6, step=0.1), limits=(-0.05, 1.04)),))
    moves = []
    trials = all_of(Random(name="random"), space, moves, 1, lambda h: h["x"])
    tried = sorted(trial.hparams["x"] for trial in trials)
    assert tried == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
    assert [(move.low, move.high) for move in moves] == [(0.0, 1.0)]


def test_a_range_that_was_narrowed_and_used_up_is_tried_in_full():
    space = SearchSpace((Dimension("x", Int(1, 60), limits=(1, 80)),))
    moves = []
    spec = Tpe(name="tpe", startup_trials=5)
    trials = all_of(spec, space, moves, 1, lambda h: abs(h["x"] - 30), is_resumed=False)
    assert sorted(trial.hparams["x"] for trial in trials) == list(range(1, 81))
    assert any(move.high - move.low < 59 for move in moves)
    again = make(spec, moves, space).ask(trials[:70], 1)
    assert again == [trials[70].hparams]


def test_moves_from_a_range_that_is_written_otherwise_now_do_not_count():
    was = Dimension("x", Float(0.2, 0.5), limits=(0.0, 1.0))
    old = RangeMove("x", 0.0, 0.4, 20, "", (0.2, 0.5))
    now = SearchSpace((replace(was, distribution=Float(0.45, 0.8)),))
    assert with_moves(SearchSpace((was,)), [old]).by_path["x"].distribution == Float(0.0, 0.4)
    assert with_moves(now, [old]) == now
    new = RangeMove("x", 0.3, 0.8, 40, "", (0.45, 0.8))
    assert with_moves(now, [old, new]).by_path["x"].distribution == Float(0.3, 0.8)


def test_a_range_that_was_edited_is_searched_as_written_and_moves_from_there():
    space = SearchSpace((Dimension("x", Float(0.45, 0.8), limits=(0.0, 1.0)),))
    moves = [RangeMove("x", 0.0, 0.4, 20, "", (0.2, 0.5))]
    trials = trials_of(SearchSpace((Dimension("x", Float(0.0, 0.4)),)), 20, lambda h: h["x"])
    sampler = make(Random(name="random"), moves, space)
    while len(moves) == 1 and len(trials) < 120:
        (hparams,) = sampler.ask(trials, 1)
        assert len(moves) > 1 or 0.45 <= hparams["x"] <= 0.8
        trials.append(Trial(len(trials), hparams, TrialState.COMPLETE, (hparams["x"],)))
    assert moves[1].written == (0.45, 0.8)
    assert (moves[1].low, moves[1].high) in {(0.275, 0.8), (0.45, 0.73)}
