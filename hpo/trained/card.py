"""The card of a trained model: a short page about it, `README.md` of its folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hpo.errors import one_line
from hpo.trained.description import Description
from hpo.trained.save import Trained

_MOST_NAMES = 30


def card_of(
    name: str,
    told: Description,
    trained: Trained,
    data: str,
    shares: Mapping[str, float] | None = None,
) -> str:
    """What a model answers, from which inputs, and how well, in Markdown.

    `data` is the hash of the data set that it was trained on. `shares` are those of the models of
    an ensemble in its mean.
    """
    features = told.features
    lines = [f"# {one_line(name)}", "", f"A model of hpo for {told.task}.", ""]
    if features.targets:
        lines.append(f"- Target: {_listed(features.targets)}")
    if told.classes:
        lines.append(f"- Classes: {_listed(told.classes)}")
    if features.is_table:
        lines.append(f"- Columns that it needs: {_listed(features.columns)}")
    else:
        lines.append(f"- An example: {told.type} of the shape {list(told.shape)}")
    if shares is not None:
        parts = [f"`{name}` {share:.0%}" for name, share in shares.items()]
        lines.append(f"- The mean of {', '.join(parts)}")
    lines += [f"- Trained on data with the hash {data[:16]}", ""]
    metrics = trained.metrics
    names = [*dict.fromkeys(key for split in metrics.values() for key in split or ())]
    lines += [f"| split | {' | '.join(names)} |", "|---" * (1 + len(names)) + "|"]
    for split, found in metrics.items():
        if found is not None:
            cells = [f"{found[key]:.4g}" if key in found else "" for key in names]
            lines.append(f"| {split} | {' | '.join(cells)} |")
    if trained.temperature is not None:
        lines += [
            "",
            f"Chances have the temperature {trained.temperature:.3g}, fitted on validation.",
        ]
        for split, errors in trained.calibration.items():
            if errors is not None:
                lines.append(
                    f"Calibration error on {split}: {errors['raw']:.4f} without it, "
                    f"{errors['tempered']:.4f} with it."
                )
    lines += ["", "Answer for new data: `hpo predict FOLDER new.csv -o answers.csv`", ""]
    return "\n".join(lines)


def _listed(names: Sequence[str]) -> str:
    shown = [f"`{one_line(name).replace('`', chr(39))}`" for name in names[:_MOST_NAMES]]
    more = f" and {len(names) - _MOST_NAMES:,} more" if names[_MOST_NAMES:] else ""
    return ", ".join(shown) + more
