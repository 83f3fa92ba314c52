"""The text columns of a table as features, by the fits of `hpo.data.text`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from hpo.data.text.text_fit import TextFit, fit_texts
from hpo.data.transforms.encoding import OWN
from hpo.spec.sections.columns import Text, Treatment

_PLACES = "text_place"  # the text columns among the columns of `Source.categories`


def fit_text_columns(
    codes: np.ndarray,
    fill: np.ndarray,
    treatments: Sequence[Treatment],
    values: Sequence[Sequence[str]],
    text: Text,
    *,
    names: Sequence[str],
    folder: Path,
) -> dict[str, np.ndarray]:
    """The arrays of the fit of each text column, whose `codes` are filled, by the training rows.

    Raises:
        DataError: if a column has no token, or a file or library is missing.
    """
    places = [
        place for place, one in enumerate(treatments) if one.type == "text" and fill[place] >= 0
    ]
    found: dict[str, np.ndarray] = {}
    for number, place in enumerate(places):
        spec, features = text, treatments[place].features
        if features is not None:
            spec = text.model_copy(update={"features": features})
        fit = fit_texts(_texts_of(codes[:, place], values[place]), spec, names[place], folder)
        found |= {f"text.{number}.{name}": array for name, array in fit.to_arrays().items()}
    return found | ({_PLACES: np.array(places, np.int32)} if places else {})


def text_fits(arrays: Mapping[str, np.ndarray]) -> dict[int, TextFit]:
    """The fit of each text column, by its place among the columns of categories."""
    fits = {}
    for number, place in enumerate(arrays.get(_PLACES, np.zeros(0, np.int32)).tolist()):
        prefix = f"text.{number}."
        own = {name: array for name, array in arrays.items() if name.startswith(prefix)}
        fits[place] = TextFit.from_arrays(
            {name.removeprefix(prefix): array for name, array in own.items()}
        )
    return fits


def text_features(
    fits: Mapping[int, TextFit], codes: np.ndarray, values: Sequence[Sequence[str]]
) -> list[np.ndarray]:
    """The features of every text column, each `[N, features]`."""
    return [fit.apply(_texts_of(codes[:, place], values[place])) for place, fit in fits.items()]


def _texts_of(codes: np.ndarray, values: Sequence[str]) -> list[str]:
    """The texts of a column; an empty cell is an empty text."""
    return ["" if code == OWN else values[code] for code in codes.tolist()]
