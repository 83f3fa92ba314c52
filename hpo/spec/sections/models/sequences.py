"""Models for sequences: texts as ids of tokens, and series."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from hpo.spec.marks import Count, Knob, Share, Spec, Static
from hpo.spec.sections.models.parts import Initial, InitScale

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


class Rnn(Spec):
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
    pool: Static[Literal["last", "mean", "max"]] = "last"
    """What the answer is made of: the state after the last place, or the mean or the largest
    number over the states of all places."""
    embedding: Embedded = None
    freeze_embedding: Frozen = False
    init: Initial = "glorot_uniform"
    init_scale: InitScale = None
    dropout: Knob[Share] = 0.0
    """The chance that a number of a token's vector, or of a state that another layer reads, is
    dropped in training."""
