"""Brackets and replacements: what schedulers count with."""

from hpo.search.scheduler import Bracket, Replacement
from hpo.trial import Trial


def test_a_bracket_counts_its_epochs_as_trials_go_on_from_rung_to_rung():
    bracket = Bracket(first=9, sizes=(9, 3, 1), budgets=(1, 3, 9))
    assert bracket.trials == range(9, 18)
    # Nine trials train one epoch; three of them two more; one of these six more.
    assert bracket.epochs == 9 * 1 + 3 * 2 + 1 * 6


def test_a_replacement_is_done_once_the_trial_has_gone_on_from_that_epoch():
    replacement = Replacement(trial=1, epoch=4, best=(0,))

    def is_done(exploited):
        return replacement.is_done([Trial(0, {}), Trial(1, {}, exploited=exploited)])

    assert [is_done(epoch) for epoch in (0, 2, 4, 6)] == [False, False, True, True]
