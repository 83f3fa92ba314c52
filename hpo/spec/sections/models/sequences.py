"""Models for sequences: texts as ids of tokens, and series."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Annotated, Any, Literal

from pydantic import Field

from hpo.spec.marks import Count, Knob, Share, Static
from hpo.spec.sections.models.parts import (
    Activated,
    Initial,
    InitScale,
    Rank,
    Remat,
    Slope,
    StochasticDepth,
)
from hpo.spec.sections.models.pretrained import Pretrained

Embedded = Annotated[
    Static[Count | None],
    Field(
        description="The numbers in the vector of a token; left out, as many as the vectors of "
        "`data.text.embeddings` have, or `width`."
    ),
]
Frozen = Annotated[
    Static[bool],
    Field(description="Whether the vectors of `data.text.embeddings` stay as they are loaded."),
]

# What is wrong with leaves: said by `hpo check`, or by a search once it has read the data.
BACKWARDS = "true reads the tokens that are to be predicted: write false"
NO_NEXT_TOKEN = (
    "true finds the next token of a text, and this data set has classes or values: write false"
)
NOT_LOADED = (
    "true keeps loaded vectors, and data.text.embeddings names no file of them: name one, or write "
    "false"
)


class Rnn(Pretrained):
    """A recurrent network over the tokens of a text, the window of a series, or rows of an image.

    Its answer for a text is one for each token in the task `language`, else one for the text.
    """

    name: Literal["rnn"]
    cell: Static[Literal["simple", "gru", "lstm"]] = "lstm"
    """What a place adds to the state. `simple`: a tanh layer; `gru` and `lstm` have gates that keep
    a state for long."""
    width: Static[Count] = 64
    """Numbers in the state of each layer, and in each direction."""
    depth: Static[Count] = 1
    """Layers; each reads the states of the one below."""
    bidirectional: Static[bool] = False
    """Whether each layer reads the sequence backwards, too."""
    pool: Static[Literal["last", "mean", "max", "all"]] = "last"
    """What the head reads: the state after the last place, or the mean or the largest number over
    the states of all places. `all`: all states side by side, as series of one length need."""
    embedding: Embedded = None
    freeze_embedding: Frozen = False
    rank: Rank = None
    init: Initial = "glorot_uniform"
    init_scale: InitScale = None
    dropout: Knob[Share] = 0.0
    """The chance that a number of a token's vector, or of a state that another layer reads, is
    dropped in training."""

    @property
    def dense_count(self) -> int:
        """The number of matrix products, for the estimated time to compile."""
        return 2 * self.depth * (2 if self.bidirectional else 1)


class Transformer(Pretrained):
    """Attention over the tokens of a text or the times of a series (Vaswani et al. 2017)."""

    name: Literal["transformer"]
    width: Static[Count] = 64
    """The numbers of each place, in all layers."""
    heads: Static[Count] = 4
    """Heads of each attention. Each has `width / heads` numbers, rounded up."""
    depth: Static[Count] = 2
    """Blocks; each is attention, then a feed-forward layer."""
    feed: Static[Count | None] = None
    """Units of each feed-forward layer; left out, 4 times `width`."""
    norm_first: Static[bool] = True
    """Whether layer normalisation comes before each attention and feed-forward layer; if not, after
    them, as in the source."""
    positions: Static[Literal["learned", "sinusoid", "rotary"]] = "learned"
    """How the model knows the order of places. `learned`: by a vector for each place. `sinusoid`:
    by fixed waves. `rotary`: by turning queries and keys, so that only distances count."""
    pool: Static[Literal["mean", "max", "first", "all"]] = "mean"
    """What the head of a class or value reads: the mean of all places, their largest numbers, or
    the first place. `all`: each place, one after the other, as a forecast needs."""
    tie_embeddings: Static[bool] = False
    """Whether the head that finds the next token of a text has the weights of the embedding."""
    share_layers: Static[bool] = False
    """Whether all blocks have the same weights."""
    embedding: Embedded = None
    freeze_embedding: Frozen = False
    rank: Rank = None
    activation: Activated = "gelu"
    slope: Slope = None
    init: Initial = "lecun_normal"
    init_scale: InitScale = None
    dropout: Knob[Share] = 0.0
    """The chance that a number is dropped in training: after the embedding, each attention and each
    feed-forward layer."""
    stochastic_depth: StochasticDepth = 0.0
    remat: Remat = False

    @property
    def dense_count(self) -> int:
        """The number of matrix products, for the estimated time to compile.

        A block has those of queries, keys, values and outputs, of two layers, and of scores and
        weights. Blocks with the same weights compile, too.
        """
        return 8 * self.depth


def sequence_mistakes(
    model: Any, tasks: Collection[str], embeddings: str | None
) -> Iterator[tuple[tuple[str, ...], str]]:
    """What a model of sequences cannot do in these tasks, or without the file of `embeddings`."""
    if getattr(model, "bidirectional", False) and {*tasks} == {"language"}:
        yield ("model", "bidirectional"), BACKWARDS
    if getattr(model, "tie_embeddings", False):
        if "language" not in tasks:
            yield ("model", "tie_embeddings"), NO_NEXT_TOKEN
        elif model.embedding not in (None, model.width):
            text = f"true needs vectors of {model.width} numbers, as wide as the model"
            yield ("model", "tie_embeddings"), f"{text}: leave model.embedding out"
    if getattr(model, "freeze_embedding", False) and embeddings is None:
        yield ("model", "freeze_embedding"), NOT_LOADED
