"""What every management endpoint shares: JSON whatever the client calls it, a caller with the right to manage, and lists
in pages."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeVar
from uuid import UUID

import msgspec
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from rest_framework import serializers
from rest_framework.exceptions import APIException, ParseError, PermissionDenied, ValidationError
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from gdpr.domain.audit import Actor, answered_request, asked_from
from gdpr.duties import Duty
from gdpr.ids import uuid7
from tenants.api.addresses import source_of
from tenants.api.permissions import CanManage, caller_of, user_of
from tenants.domain.authentication import Caller, Person
from tenants.domain.impersonation import actor_of
from tenants.domain.repeats import AnotherBody, Made, answer_once
from tenants.domain.rights import is_operators, may
from tenants.models import User
from tenants.rules import Capability

IDEMPOTENCY_KEY = "Idempotency-Key"
GONE = "The first answer showed the secret, once. If it is lost, end this one and make another under another key."
KEY_SHAPE = re.compile(r"[\x20-\x7e]{1,255}")
PAGE_DEFAULT = 100
PAGE_MAX = 1000

M = TypeVar("M", bound=Model)


class AnyJSONParser(BaseParser):
    """`curl -d` says form-urlencoded and sends JSON."""

    media_type = "*/*"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> dict[str, Any]:
        try:
            body = msgspec.json.decode(stream.read())
        except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
            raise ParseError(f"The body is not JSON: {error}") from None
        if not isinstance(body, dict):
            raise ParseError("The body must be a JSON object.")
        return body


class AlwaysJSON(BaseContentNegotiation):
    def select_parser(self, request: Request, parsers: Any) -> Any:
        return parsers[0]

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        return renderers[0], renderers[0].media_type


class KeyReused(APIException):
    status_code = 422
    default_code = "idempotency_key_reuse"
    default_detail = "This Idempotency-Key was used for another request."


class ManagementView(APIView):
    """A POST may carry an Idempotency-Key: `tenants.domain.repeats`."""

    post: Callable[..., Response]
    parser_classes = [AnyJSONParser]
    content_negotiation_class = AlwaysJSON
    permission_classes = [CanManage]
    # By method; a tuple holds alternatives. What is not here is closed.
    capabilities: ClassVar[Mapping[str, Capability | tuple[Capability, ...]]] = {}
    audits: ClassVar[Mapping[str, Duty]] = {}  # by method, of those that change something: `gdpr.duties`
    shown_once: ClassVar[str] = ""  # the field of a POST's answer that holds a secret
    has_etag: ClassVar[bool] = False  # its changes take If-Match: `tenants.api.etags`

    def initialize_request(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Request:
        answered_request.set(f"req_{uuid7().hex}")
        # Until it is known who asks: what an operator does in a tenant's place is noted before that.
        asked_from.set(source_of(request, is_operators=True))
        return super().initialize_request(request, *args, **kwargs)

    def finalize_response(self, request: Any, response: Any, *args: Any, **kwargs: Any) -> Any:
        response.headers.setdefault("x-request-id", answered_request.get())
        answered_request.set("")
        asked_from.set(None)
        return super().finalize_response(request, response, *args, **kwargs)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        caller = caller_of(request)
        theirs = caller is not None and is_operators(caller)
        asked_from.set(source_of(request._request, is_operators=theirs))
        key = request.headers.get(IDEMPOTENCY_KEY)
        is_post = request.method == "POST" and hasattr(self, "post")
        if is_post and key is not None and caller_of(request) is not None:
            self.post = self._once(key, self.post)

    def _once(self, key: str, handler: Callable[..., Response]) -> Callable[..., Response]:
        if not KEY_SHAPE.fullmatch(key):
            raise ValidationError({IDEMPOTENCY_KEY: ["A key is 1 to 255 printable ASCII characters."]})

        def post(request: Request, **kwargs: Any) -> Response:
            def make() -> Made:
                response = handler(request, **kwargs)
                answer = _rendered(response.data)
                has_secret = self.shown_once and response.data.get(self.shown_once) is not None
                without = {**response.data, self.shown_once: None, "warning": GONE} if has_secret else None
                return Made(response.status_code, answer, _rendered(without) if has_secret else answer)

            asked = (str(self.actor), *self.addressed(), key)
            try:
                answer = answer_once(self.caller.tenant_id, asked, dict(request.data), make)
            except AnotherBody:
                raise KeyReused from None
            headers = {"idempotent-replayed": "true"} if answer.is_repeated else {}
            return Response(answer.data, answer.status, headers=headers)

        return post

    def addressed(self) -> tuple[str, ...]:
        """What a request is about beside its body: the same key elsewhere is another request."""
        return (self.request.get_full_path(),)

    @property
    def caller(self) -> Caller:
        caller = caller_of(self.request)
        assert caller is not None, "permissions let nobody pass without a caller"
        return caller

    @property
    def user(self) -> User:
        user = user_of(self.request)
        assert user is not None, "permissions let nobody pass who is not logged in"
        return user

    @property
    def actor(self) -> Actor:
        caller = caller_of(self.request)
        if caller is None:
            return Actor.user(self.user.id)
        if isinstance(caller, Person):
            return actor_of(caller) if caller.impersonation_id else Actor.user(self.user.id)
        return Actor.keyless() if caller.is_keyless else Actor.key(caller.kid)

    def require(self, *wanted: Capability) -> None:
        """Beyond what the method takes, for what a body asks. Raises PermissionDenied."""
        if not may(self.caller, *wanted):
            raise PermissionDenied("Only the operator of this colony may do this.")

    def read_body(self, serializer: type[serializers.Serializer[Any]]) -> dict[str, Any]:
        """Raises ValidationError, also for a field that nobody knows: a mistyped one would be lost silently."""
        return self.read(serializer, dict(self.request.data))

    def read_query(self, serializer: type[serializers.Serializer[Any]]) -> dict[str, Any]:
        return self.read(serializer, self.request.query_params.dict())

    @staticmethod
    def read(serializer: type[serializers.Serializer[Any]], data: dict[str, Any]) -> dict[str, Any]:
        reading = serializer(data=data)
        reading.is_valid(raise_exception=True)
        for name in data:
            if name not in reading.fields:
                known = ", ".join(reading.fields)
                raise ValidationError({name: [f"There is no such field; this takes {known}."]})
        return dict(reading.validated_data)


class PageQuery(serializers.Serializer[Any]):
    limit = serializers.IntegerField(min_value=1, max_value=PAGE_MAX, default=PAGE_DEFAULT)
    cursor = serializers.CharField(
        default="", allow_blank=True, max_length=64, help_text="`next_cursor` of the page before"
    )


def page_of(rows: QuerySet[M], query: dict[str, Any], *, key: str = "id") -> tuple[list[M], str | None]:
    """Newest first by `key`, a UUIDv7. The rows and the cursor of the next page."""
    if query["cursor"]:
        rows = rows.filter(**{f"{key}__lt": _read_cursor(query["cursor"])})
    found = list(rows.order_by(f"-{key}")[: query["limit"] + 1])
    if len(found) <= query["limit"]:
        return found, None
    found = found[:-1]
    return found, base64.urlsafe_b64encode(getattr(found[-1], key).bytes).decode().rstrip("=")


def list_response(data: list[dict[str, Any]], next_cursor: str | None = None) -> Response:
    return Response(
        {"object": "list", "data": data, "has_more": next_cursor is not None, "next_cursor": next_cursor}
    )


def deleted_response(kind: str, id_or_name: str) -> Response:
    return Response({"id": id_or_name, "object": kind, "deleted": True})


def _rendered(data: Any) -> bytes:
    return JSONRenderer().render(data) or b"null"


def _read_cursor(text: str) -> UUID:
    try:
        return UUID(bytes=base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (binascii.Error, ValueError):
        raise ValidationError({"cursor": ["This is no cursor of this list."]}) from None
