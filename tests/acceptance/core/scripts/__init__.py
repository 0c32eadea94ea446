"""The scripts of the business case, each as it stands there."""

from pathlib import Path

_FOLDER = Path(__file__).parent

HOMELAB = (_FOLDER / "homelab.rhai").read_text()
TIERS = (_FOLDER / "tiers.rhai").read_text()
QUOTA = (_FOLDER / "quota.rhai").read_text()
COST_CONTROL = (_FOLDER / "cost_control.rhai").read_text()
