"""The lane: the ASGI application for `/v1`, receipts and probes. No middleware, no channel layer, no Django request; a
request is routed by one look into a dictionary. Every way out is an answer in OpenAI's envelope.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Awaitable, Callable
from typing import Any, Final

from django.conf import settings

from gdpr.duties import Duty
from inference.api import cors, errors
from inference.api.chat import create_chat_completion
from inference.api.completions import create_completion
from inference.api.exchange import ClientGone, Exchange, Receive, Scope, Send
from inference.api.models import list_models, show_model
from inference.api.openapi import show_openapi
from inference.api.probes import healthz, readyz
from inference.api.queen import Queen
from inference.api.receipts import take_receipts
from inference.domain.dispatch import TaskFailed
from inference.domain.refusals import Refused

Handler = Callable[[Queen, Exchange], Awaitable[None]]

ALIAS: Final = "/openai"  # before /v1
MODEL_PREFIX: Final = "/v1/models/"

routes: Final[dict[str, tuple[str, Handler]]] = {
    "/v1/chat/completions": ("POST", create_chat_completion),
    "/v1/completions": ("POST", create_completion),
    "/v1/models": ("GET", list_models),
    "/hive/v1/receipts": ("POST", take_receipts),
    "/openapi.json": ("GET", show_openapi),
    "/healthz": ("GET", healthz),
    "/readyz": ("GET", readyz),
}

# Refused tasks are `task.refused`; one that no hive began owes nothing and records nothing.
audits: Final[dict[str, Duty]] = {
    "/v1/chat/completions": "task.settled",
    "/v1/completions": "task.settled",
    "/hive/v1/receipts": "task.settled",
}

_log = logging.getLogger(__name__)


class Lane:
    """One per process. `startup` and `shutdown` are called by the server's lifespan."""

    def __init__(self) -> None:
        self.queen: Queen | None = None
        self._has_cors = False

    async def startup(self) -> None:
        env = settings.RBEE
        queen = Queen(env)
        await queen.start()
        self._has_cors = env.is_business
        self.queen = queen

    async def shutdown(self) -> None:
        queen, self.queen = self.queen, None
        if queen is not None:
            await queen.stop()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(scope, receive, send)
        if client_id := exchange.client_request_id:
            _log.info("%s is %s of its client", exchange.request_id, client_id)
        try:
            await self._serve(exchange)
        except (Refused, TaskFailed) as refusal:
            await exchange.refuse(refusal)
        except ClientGone:
            pass
        except Exception as error:  # noqa: BLE001 - nobody gets a traceback
            await _own_up(exchange, error)
        finally:
            if exchange.refusal is not None:
                self._note(exchange, exchange.refusal)

    def _note(self, exchange: Exchange, refusal: Refused | TaskFailed) -> None:
        """Also one that was answered further inside."""
        if self.queen is not None:
            self.queen.refusals.note(
                refusal,
                exchange.caller,
                source=exchange.peer_ip or "",
                request_id=exchange.request_id,
                task_id=exchange.task_id,
            )

    async def _serve(self, exchange: Exchange) -> None:
        queen = self.queen
        if queen is None:
            raise errors.unavailable("The server is starting or ending; try again.")
        path = exchange.path.removeprefix(ALIAS)
        method, handler = routes.get(path) or _model_route(path) or _no_route(exchange)
        if self._has_cors and path.startswith("/v1/"):
            if cors.is_preflight(exchange):
                await cors.answer_preflight(exchange, method)
                return
            exchange.answer_headers += cors.headers_for(exchange)
        if exchange.method != method:
            raise errors.method_not_allowed(exchange.method, method)
        await handler(queen, exchange)


def _model_route(path: str) -> tuple[str, Handler] | None:
    name = path.removeprefix(MODEL_PREFIX)
    if name == path or not name:
        return None
    return "GET", lambda queen, exchange: show_model(queen, exchange, name)


def _no_route(exchange: Exchange) -> Any:
    raise errors.unknown_url(exchange.method, exchange.path)


async def _own_up(exchange: Exchange, error: Exception) -> None:
    """The log has where it happened, not what the error says: that may quote the request."""
    where = "".join(traceback.format_tb(error.__traceback__))
    _log.error("%s failed: %s\n%s", exchange.request_id, type(error).__name__, where)
    internal = errors.internal_error()
    if exchange.started:
        event = errors.error_event(internal.message, internal.type, internal.code)
        await exchange.write(event, is_last=True)
    else:
        await exchange.refuse(internal)
