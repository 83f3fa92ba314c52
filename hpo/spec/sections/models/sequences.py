"""Models for sequences: texts as ids of tokens, and series."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from hpo.spec.marks import Count, Static

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
