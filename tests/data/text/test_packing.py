"""Texts as arrays without objects."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hpo.data.text.packing import packed, unpacked


@given(st.lists(st.text()))
def test_texts_can_be_stored_without_objects(found):
    data, ends = packed(found)
    assert (data.dtype, unpacked(data, ends)) == (np.uint8, found)
