"""What techniques did: built trials of which one answer is right."""

import numpy as np
import pytest
from scipy import stats

from hpo.report.insight.effects import effects_of, rank_sum
from hpo.space import Choice, Dimension, Float, SearchSpace
from hpo.spec.sections.goal import Objective
from hpo.trial import Trial, TrialState

ACCURACY = Objective(maximize="accuracy")
SPACE = SearchSpace(
    (
        Dimension("augment.flip", Choice((0, 0.5))),
        Dimension("augment.gaussian_noise", Float(0.0, 0.4)),
        Dimension("updates.centralize", Choice((False, True))),
        Dimension("updates.clip_norm", Choice((None, 1.0, 2.0))),
        Dimension("train.average.name", Choice(("none", "ema", "swa"))),
        Dimension("optimizer.learning_rate", Float(1e-4, 1e-1, log=True)),
        Dimension("model.widths", Choice(([32], [64, 64]))),
    )
)


def built(count, epochs=lambda number: 3, worse_by_number=0.0):
    """Trials whose accuracy a flip raises and noise lowers; an average only closes the gap."""
    rng, trials, gaps = np.random.default_rng(0), [], {}
    for number in range(count):
        hparams = SPACE.draw(rng)
        if hparams["train.average.name"] == "swa" and number % 8:
            hparams["train.average.name"] = "none"  # so that few trials have it
        accuracy = 0.7 + 0.1 * (hparams["augment.flip"] > 0) - hparams["augment.gaussian_noise"]
        accuracy += rng.normal(0, 0.03) - worse_by_number * number
        losses = (-0.5, *(-accuracy,) * (epochs(number) - 1))
        trials.append(Trial(number, hparams, TrialState.COMPLETE, losses))
        gap = 0.4 - 0.2 * (hparams["train.average.name"] == "ema") + rng.normal(0, 0.02)
        gaps[number] = [0.1, *[gap] * (len(losses) - 1)]
    return trials, gaps


def test_a_technique_that_helps_one_that_harms_and_those_without_effect():
    trials, gaps = built(60)
    found = {one.name: one for one in effects_of(trials, SPACE, ACCURACY, gaps).effects}

    assert {name: (one.verdict, one.gap_verdict) for name, one in found.items()} == {
        "augment.flip": ("better", "no difference"),
        "augment.gaussian_noise": ("worse", "no difference"),
        "updates.centralize": ("no difference", "no difference"),
        "updates.clip_norm": ("no difference", "no difference"),
        "train.average.name: ema": ("no difference", "better"),
    }
    flip, noise = found["augment.flip"], found["augment.gaussian_noise"]
    with_it = [-t.losses[-1] for t in trials if t.hparams["augment.flip"]]
    assert (flip.on.trials, flip.on.value) == (len(with_it), np.median(with_it))
    assert flip.on.trials + flip.off.trials == 60
    assert (flip.without, noise.without) == ("0", "[0, 0.1]")  # no trial has no noise at all
    assert found["train.average.name: ema"].on.gap == pytest.approx(0.2, abs=0.02)


def test_a_technique_that_few_trials_had_is_only_named():
    trials, gaps = built(32)
    found = effects_of(trials, SPACE, ACCURACY, gaps)
    assert found.few == ("train.average.name: swa",)
    assert "train.average.name: swa" not in [one.name for one in found.effects]


def test_too_few_trials_say_nothing_of_any_technique():
    trials, gaps = built(19)
    found = effects_of(trials, SPACE, ACCURACY, gaps)
    assert (found.effects, found.skipped) == ((), "needs 20 trials with a result; 19 have one")


def test_trials_are_compared_after_equal_epochs():
    trials, gaps = built(80, epochs=lambda number: 1 if number < 20 else 3 if number < 70 else 9)
    found = effects_of(trials, SPACE, ACCURACY, gaps)
    assert (found.trials, found.epochs) == (60, 3)


def test_a_space_without_techniques_has_no_effects():
    space = SearchSpace(SPACE.dimensions[-2:])
    found = effects_of(built(60)[0], space, ACCURACY, {})
    assert (found.effects, found.skipped) == ((), None)


def test_gaps_that_are_not_known_leave_the_objective():
    trials, _ = built(60)
    found = effects_of(trials, SPACE, ACCURACY, {}).effects
    assert found[0].verdict == "better"
    assert {(one.gap_verdict, one.gap_p, one.on.gap) for one in found} == {(None, None, None)}


def test_a_technique_that_came_late_in_a_study_has_no_credit_for_better_trials():
    # The sampler learns: later trials are better, and they have the technique more often.
    rng = np.random.default_rng(1)
    values = [-number / 100 + rng.normal(0, 0.01) for number in range(200)]
    has_it = [bool(rng.random() < number / 200) for number in range(200)]
    assert stats.mannwhitneyu(*_sides(values, has_it)).pvalue < 1e-6
    assert rank_sum(values, has_it)[1] > 0.05


@pytest.mark.parametrize("seed", range(3))
def test_a_single_block_is_the_test_of_mann_and_whitney_in_scipy(seed):
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 12, 19).astype(float).tolist()  # with equal ones
    has_it = [True] * 8 + [False] * 11
    on, off = _sides(values, has_it)
    theirs = stats.mannwhitneyu(on, off, method="asymptotic", use_continuity=False)
    excess, p = rank_sum(values, has_it)
    assert p == pytest.approx(theirs.pvalue)
    assert excess == pytest.approx(theirs.statistic - 8 * 11 / 2)


def test_of_techniques_without_effect_a_twentieth_of_the_studies_claims_one():
    space = SearchSpace(
        tuple(Dimension(f"augment.{name}", Choice((0, 1))) for name in ("flip", "shift", "scale"))
    )
    rng, claims = np.random.default_rng(0), 0
    for _ in range(300):
        trials = [
            Trial(number, space.draw(rng), TrialState.COMPLETE, (rng.normal(),))
            for number in range(30)
        ]
        found = effects_of(trials, space, ACCURACY, {}).effects
        claims += any(one.verdict != "no difference" for one in found)
    assert 3 <= claims <= 27  # 15 expected


def _sides(values, has_it):
    return [
        [v for v, has in zip(values, has_it, strict=True) if has is side] for side in (True, False)
    ]
