from tests.inference.conftest import home, mode, operator

__all__ = ["home", "mode", "operator"]
