"""Who calls `/v1`: the owner of a key that has the scope `inference`; at home, this machine's own programs as well."""

from __future__ import annotations

from inference.api import errors
from inference.api.exchange import Exchange
from inference.api.local import LocalRule
from tenants.domain.addresses import NOWHERE, NetworkSet, client_text
from tenants.domain.authentication import AuthenticationDown, Caller, CallerCache
from tenants.domain.key_use import KEY_USE
from tenants.enums import KeyScope

_BEARER = b"bearer "


class Authentication:
    """`proxies`: whose word about a client's address is taken."""

    def __init__(self, callers: CallerCache, local: LocalRule, proxies: NetworkSet = NOWHERE) -> None:
        self._callers = callers
        self._local = local
        self._proxies = proxies

    async def caller_of(self, exchange: Exchange) -> Caller:
        """A key that is nobody's hurts no local program: their clients insist on sending one. Raises Refused."""
        secret = bearer_token(exchange)
        try:
            caller = None
            if secret:
                caller = self._callers.get(secret) or await self._callers.load(secret)
            if caller is None and self._local.allows(exchange.peer_ip, exchange.scope["headers"]):
                caller = await self._callers.home_caller()
        except AuthenticationDown:
            raise errors.unavailable("Keys cannot be checked at the moment; try again.") from None
        if caller is None:
            raise errors.wrong_key() if secret else errors.no_key()
        exchange.caller = caller
        if caller.networks is not NOWHERE:
            client = client_text(exchange.peer_ip, exchange.scope["headers"], self._proxies)
            if not caller.networks.holds(client):
                raise errors.wrong_address()
        if KeyScope.INFERENCE not in caller.scopes:
            raise errors.wrong_scope()
        KEY_USE.seen.add(caller.kid)
        return caller


def bearer_token(exchange: Exchange) -> str:
    """Empty when there is none."""
    value = exchange.headers.get(b"authorization", b"")
    if value[:7].lower() != _BEARER:
        return ""
    token = value[7:].strip()
    try:
        return token.decode()
    except UnicodeDecodeError:
        return token.decode("latin-1")
