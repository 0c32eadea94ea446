"""The same callers as for the rest of the management API."""

from tests.inference.conftest import home, mode, operator

__all__ = ["home", "mode", "operator"]
