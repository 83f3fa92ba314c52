"""Bits a byte of an n-gram model of a text, beside which a language model can be judged.

It reads the text as `dataset: {text: FILE}` does, so tokens and splits are those of `hpo`. It
counts n-grams of the training part, and predicts the tokens of validation and test.

    hpo data get tiny_shakespeare
    .venv/bin/python benchmarks/ngrams.py tiny_shakespeare/input.txt
"""

from __future__ import annotations

import argparse
import math
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from hpo.data.dataset import SPLITS
from hpo.data.load import load_data
from hpo.spec.sections.data import DataSpec


class KneserNey:
    """An interpolated n-gram model of tokens below `vocabulary`.

    A context of an n-gram that is shorter than the longest counts in how many different contexts
    its tokens were seen. Each discount is n1 / (n1 + 2 n2), from the n-grams seen once and twice.

    Source: Kneser and Ney 1995, "Improved backing-off for m-gram language modeling", interpolated
    as in Chen and Goodman 1999, "An empirical study of smoothing techniques for language modeling".
    """

    def __init__(self, tokens: Sequence[int], order: int, vocabulary: int) -> None:
        self._order, self._vocabulary = order, vocabulary
        self._counts: list[Counter[tuple[int, ...]]] = []
        grams = Counter(tuple(tokens[i : i + order]) for i in range(len(tokens) - order + 1))
        for _ in range(order):
            self._counts.insert(0, grams)
            grams = Counter(gram[1:] for gram in grams)
        self._totals = [Counter[tuple[int, ...]]() for _ in range(order)]
        self._kinds = [Counter[tuple[int, ...]]() for _ in range(order)]
        for counts, totals, kinds in zip(self._counts, self._totals, self._kinds, strict=True):
            for gram, count in counts.items():
                totals[gram[:-1]] += count
                kinds[gram[:-1]] += 1
        self._discounts = [self._discount(counts) for counts in self._counts]

    def probability(self, token: int, context: Sequence[int]) -> float:
        """The chance of a token after a context, of which the last tokens are read."""
        found = 1 / self._vocabulary
        for length in range(min(self._order, len(context) + 1)):
            before = tuple(context[len(context) - length :])
            total = self._totals[length][before]
            if not total:
                break
            discount = self._discounts[length]
            own = max(self._counts[length][(*before, token)] - discount, 0.0)
            found = (own + discount * self._kinds[length][before] * found) / total
        return found

    def bits(self, tokens: Sequence[int]) -> float:
        """The bits of all tokens but the first, each after those before it."""
        return sum(
            -math.log2(self.probability(token, tokens[max(place - self._order + 1, 0) : place]))
            for place, token in enumerate(tokens)
            if place
        )

    @staticmethod
    def _discount(counts: Counter[tuple[int, ...]]) -> float:
        seen = Counter(counts.values())
        return seen[1] / (seen[1] + 2 * seen[2]) if seen[1] else 0.5


def main() -> None:
    """Print the bits a byte of each order."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("text", help="a text file, relative to this folder or HPO_DATA")
    parser.add_argument("--tokens", choices=["characters", "bytes", "bpe"], default="characters")
    parser.add_argument("--vocabulary", type=int, default=1000, help="of bpe")
    parser.add_argument("--orders", type=int, nargs="+", default=[3, 4, 5, 6])
    arguments = parser.parse_args()
    # Rows of one token, so that each is a target.
    dataset = {"text": arguments.text, "tokens": arguments.tokens, "length": 1}
    if arguments.tokens == "bpe":
        dataset["vocabulary"] = arguments.vocabulary
    spec = DataSpec.model_validate({"dataset": dataset})
    home = os.environ.get("HPO_DATA")
    data = load_data(spec, Path.cwd(), None if home is None else Path(home))
    parts = {}
    for name in SPLITS:
        split = getattr(data, name)
        parts[name] = [int(split.x[0, 0]), *map(int, split.y[:, 0])]
    sizes = data.transform.more["token_bytes"]
    print(f"{data.outputs} {arguments.tokens}, {len(parts['train']):,} to train on")
    for order in arguments.orders:
        model = KneserNey(parts["train"], order, data.outputs)
        found = [
            f"{name} {model.bits(tokens) / sum(sizes[token] for token in tokens[1:]):.3f}"
            for name, tokens in list(parts.items())[1:]
        ]
        print(f"{order}-gram, bits a byte: {', '.join(found)}", flush=True)


if __name__ == "__main__":
    main()
