"""One ASGI application: a lean lane for what is counted in microseconds, Django for the rest."""

import os

from channels.routing import ProtocolTypeRouter

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "rbee.settings")

from rbee.env import exit_on_misconfiguration
from rbee_quiet.install import be_quiet

with exit_on_misconfiguration():
    be_quiet(name_errors_only=True)

    from django.conf import settings

    settings.RBEE.require("database_url", "redis_url", "secret_key")

    from django.core.asgi import get_asgi_application

    django = get_asgi_application()

    from inference.api.app import Lane

from rbee.assets import Assets
from rbee.front import Front, Lifespan, refuse_websocket
from rbee.ledger_gate import LedgerGate

lane = Lane()
gate = LedgerGate()

application = ProtocolTypeRouter(
    {
        "http": Front(lane, django, Assets(), gate),
        "websocket": refuse_websocket,
        "lifespan": Lifespan(gate, lane),
    }
)
