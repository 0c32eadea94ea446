"""`rbee price`: what models cost, and for whom."""

from rbee_cli.commands.price import cards, files, terms
from rbee_cli.commands.price.app import app

__all__ = ["app", "cards", "files", "terms"]
