"""The callers of the management API."""

from tests.inference.conftest import home, mode, operator
from tests.tenants.api.conftest import inbox

__all__ = ["home", "inbox", "mode", "operator"]
