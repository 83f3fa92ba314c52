"""Tests marked `optimized` compile as for users."""

from __future__ import annotations

import pytest
from jax._src.interpreters import mlir

from tests import compiling


def test_programs_share_a_context_where_tests_compile_quickly_and_else_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mlir, "make_ir_context", mlir.make_ir_context)
    compiling._choose_contexts(is_quick=True)
    assert mlir.make_ir_context() is mlir.make_ir_context()
    compiling._choose_contexts(is_quick=False)
    assert mlir.make_ir_context() is not mlir.make_ir_context()
