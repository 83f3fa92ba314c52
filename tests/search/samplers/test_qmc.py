"""Quasi-random search."""

import math
from collections import Counter

from hpo.space import Choice, Float, Int
from hpo.trial import Trial
from tests.search.samples import COMPLETE, sampler_of, space_of


def test_qmc_gives_every_slice_of_every_dimension_its_share():
    space = space_of(x=Float(0.0, 1.0), y=Float(1e-12, 1e12, log=True), z=Choice("abcd"))
    seen, counts = [], {"x": Counter(), "y": Counter(), "z": Counter()}
    while len(seen) < 64:  # in asks of odd sizes, with results between them
        found = sampler_of("qmc", space).ask(seen, min(7, 64 - len(seen)))
        seen += [Trial(len(seen) + i, h, COMPLETE, (1.0,)) for i, h in enumerate(found)]
    for trial in seen:
        counts["x"][int(trial.hparams["x"] * 16)] += 1
        counts["y"][int((math.log10(trial.hparams["y"]) + 12) / 1.5)] += 1
        counts["z"][trial.hparams["z"]] += 1
    assert counts["x"] == counts["y"] == Counter(dict.fromkeys(range(16), 4))
    assert counts["z"] == Counter(dict.fromkeys("abcd", 16))


def test_qmc_spends_no_coordinate_on_constants():
    varying = {f"x{n}": Float(0.0, 1.0) for n in range(3)}
    with_constants = space_of(a=Choice(("only",)), b=Int(3, 3), **varying)
    found = sampler_of("qmc", with_constants).ask([], 5)
    plain = sampler_of("qmc", space_of(**varying)).ask([], 5)
    assert found == [{"a": "only", "b": 3, **hparams} for hparams in plain]
