"""Sizes in bytes, as people write them."""

from __future__ import annotations

import pytest

from hpo.spec.sections.sizes import size_bytes, size_text


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0B", 0),
        ("500B", 500),
        ("2KB", 2000),
        ("2KiB", 2048),
        ("1.5 GiB", 3 << 29),
        ("3TB", 3 * 10**12),
        ("auto", "auto"),
        (64, 64),
    ],
)
def test_a_size_has_a_unit_or_is_in_bytes(text, size):
    assert size_bytes(text) == size


@pytest.mark.parametrize("text", ["", "GiB", "2 G", "2gib", "2 PiB", "-1MB", "1,5GiB", "2iB"])
def test_what_is_no_size_is_refused_with_what_is(text):
    with pytest.raises(ValueError, match=r"is not a size: write 500MB, 2GiB, .* or auto"):
        size_bytes(text)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0B"),
        (1000, "1000B"),
        (1024, "1KiB"),
        (1025, "1.1KiB"),
        (3 << 29, "1.5GiB"),
        (5 << 40, "5120GiB"),
    ],
)
def test_sizes_are_written_for_people_and_never_too_small(size: int, text: str) -> None:
    assert size_text(size) == text
