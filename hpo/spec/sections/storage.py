"""How examples lie on a device, and how much of it they may take."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator

from hpo.spec.marks import Count
from hpo.spec.sections.sizes import SizeAsWritten, size_bytes

Storage = Literal["float32", "float16", "uint8"]
DeviceBudget = Annotated[
    Literal["auto"] | Count,
    BeforeValidator(size_bytes, json_schema_input_type=Literal["auto"] | SizeAsWritten),
]
