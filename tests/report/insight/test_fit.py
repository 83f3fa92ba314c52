"""Whether a winner under- or overfits: built curves of which one answer is right."""

import math

import pytest

from hpo.report.insight.fit import fit_of, word_of
from hpo.trial import Trial, TrialState

EPOCHS = range(12)
OVERFITS = [(0.9 * 0.6**e, 0.9 * 0.8**e + 0.05 * e) for e in EPOCHS]
RISES = [(1.0 - 0.05 * e, 1.0 - 0.04 * e + 0.006 * e * e) for e in EPOCHS]
STILL_FALLS = [(2.3 - 0.1 * e, 2.32 - 0.1 * e) for e in EPOCHS]
STUCK = [(2.3 - 0.5 * (e > 0), 2.3 - 0.5 * (e > 0)) for e in EPOCHS]
FITS = [(0.1 + 0.9 * 0.5**e, 0.13 + 0.9 * 0.5**e) for e in EPOCHS]


@pytest.mark.parametrize(
    ("losses", "word"),
    [
        (OVERFITS, "overfits"),
        (RISES, "overfits"),
        (STILL_FALLS, "underfits"),
        (STUCK, "underfits"),
        (FITS, "fits"),
        ([], None),
        ([(math.nan, 0.3)], None),  # earlier versions stored no training loss
        ([(-1.0, -0.5)], None),  # a loss without a lower bound has no shares
    ],
)
def test_the_curves_of_a_training_have_a_word(losses, word):
    assert word_of(losses) == word


def trials(count):
    """Trial 0 wins; the others are worse the higher their numbers."""
    return [Trial(n, {}, TrialState.COMPLETE, (0.1 + n / 100,) * len(EPOCHS)) for n in range(count)]


@pytest.mark.parametrize("losses", [OVERFITS, STILL_FALLS, FITS])
def test_the_word_of_a_winner_is_that_of_the_best_trials(losses):
    found = trials(24)
    fit = fit_of(found, found[0], dict.fromkeys(range(24), losses))
    assert (fit.word, fit.agree, fit.best) == (word_of(losses), 6, 6)
    assert (fit.train_loss, fit.loss) == losses[-1]


def test_a_winner_that_the_best_trials_do_not_back_has_no_word():
    found = trials(24)
    losses = {0: OVERFITS} | dict.fromkeys(range(1, 24), FITS)
    assert fit_of(found, found[0], losses).word is None


def test_nothing_is_said_with_few_trials_or_without_a_winner():
    few, losses = trials(19), dict.fromkeys(range(24), OVERFITS)
    assert fit_of(few, few[0], losses).skipped == "needs 20 trials with a result; 19 have one"
    assert fit_of(trials(24), None, losses).skipped == "no trial has trained in full"
    assert fit_of(trials(24), few[0], {}).skipped == "the training loss is not known"
