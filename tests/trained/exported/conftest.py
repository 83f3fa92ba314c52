"""Leaves the tests of this folder out where the libraries of the extra `onnx` are not installed."""

from __future__ import annotations

from importlib.util import find_spec

# The modules under test import them when they are loaded.
collect_ignore_glob = (
    [] if find_spec("onnx") and find_spec("onnxruntime") else ["test_*.py", "*/test_*.py"]
)
