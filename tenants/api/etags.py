"""ETags where two people may edit the same thing: what is read has one, and a change that sends it back as If-Match
happens only to what was read. A change without If-Match always happens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from hashlib import blake2b
from typing import Any, TypeVar

from django.db.models import Model
from rest_framework.exceptions import APIException
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

M = TypeVar("M", bound=Model)


class ChangedMeanwhile(APIException):
    status_code = 412
    default_code = "changed_meanwhile"
    default_detail = "Somebody has changed this since you read it: read it again, then change it."


def tagged(shown: Any) -> Response:
    return Response(shown, headers={"ETag": etag_of(shown)})


def etag_of(shown: Any) -> str:
    return f'"{blake2b(JSONRenderer().render(shown), digest_size=12).hexdigest()}"'


@contextmanager
def unchanged(
    request: Request, scope: AbstractContextManager[None], row: M, show: Callable[[M], Any]
) -> Iterator[None]:
    """Around the change of `row`, which is locked until that has committed. Raises ChangedMeanwhile."""
    with unchanged_since(request.headers.get("If-Match", "*"), scope, row, show):
        yield


@contextmanager
def unchanged_since(
    wanted: str, scope: AbstractContextManager[None], row: M, show: Callable[[M], Any]
) -> Iterator[None]:
    """`wanted`: as If-Match has it. Raises ChangedMeanwhile."""
    if wanted.strip() == "*":
        yield
        return
    with scope:
        type(row)._default_manager.select_for_update().get(pk=row.pk)
        tags = {tag.strip().removeprefix("W/") for tag in wanted.split(",")}
        if etag_of(show(row)) not in tags:
            raise ChangedMeanwhile
        yield
