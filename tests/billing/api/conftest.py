"""The callers of the management API."""

from tests.inference.conftest import home, mode, operator

__all__ = ["home", "mode", "operator"]
