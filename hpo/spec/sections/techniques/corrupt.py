"""What `data.corrupt` says: the changes of a corrupted copy of the validation rows."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from hpo.spec.marks import Positive, Spec

Corruption: TypeAlias = Literal["gaussian_noise", "salt_pepper", "brightness", "contrast", "blur"]


class Corrupt(Spec):
    """A corrupted copy of the validation rows, and of the test rows, for `corrupted_accuracy`.

    It is the same for all trials. No training row is changed. With `kinds` and `from`, rows of both
    count alike.
    """

    kinds: Annotated[tuple[Corruption, ...], Field(strict=False)] = ()
    """The changes. Each row gets one of them, and all are equally frequent. The last three are of
    images."""
    severity: Positive = 0.5
    """How strong they are: about this many standard deviations of the training numbers."""
    # Written so, because `from` is a word of Python's own.
    __annotations__["from"] = (
        "Annotated[str | None, Field(default=None, description='A file of corrupted rows of your "
        "own, or a folder of images, with the columns or arrays of the data set. Half of them "
        "judge validation and half test; without a test split, all judge validation.')]"
    )

    @property
    def file(self) -> str | None:
        """The file of rows of the user's own."""
        found: str | None = getattr(self, "from")
        return found
