"""`hpo.report`: a script that `hpo` runs reports a result. It imports little."""

from __future__ import annotations

import json
import os


def report(value: float | None = None, epoch: int | None = None, **metrics: float) -> None:
    """Report the results of an epoch from a script that is a trial.

    `value` is that of the first objective, and `metrics` gives others by their names:

        hpo.report(loss, epoch=3)
        hpo.report(val_loss=0.31, accuracy=0.9)

    Where no study runs the script, this does nothing.
    """
    file = os.environ.get("HPO_RESULTS")
    if file is None:
        return
    results = {} if value is None else {os.environ["HPO_METRIC"]: float(value)}
    results |= {name: float(one) for name, one in metrics.items()}
    line = json.dumps({**({} if epoch is None else {"epoch": int(epoch)}), **results})
    # Written by one call, so that processes of a trial do not mix their lines.
    with open(file, "ab", buffering=0) as opened:  # noqa: PTH123 (a script may use any folder)
        opened.write(line.encode() + b"\n")
