from __future__ import annotations

from typing import cast

from rest_framework.exceptions import PermissionDenied
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from tenants.domain.authentication import Caller
from tenants.domain.tenancy import OPERATOR_TENANTS
from tenants.enums import KeyScope


class CanManage(BasePermission):
    def has_permission(self, request: Request, view: APIView) -> bool:
        caller = caller_of(request)
        if caller is None:
            return False
        if KeyScope.MANAGE not in caller.scopes:
            raise PermissionDenied("This key is for inference. Use one with the scope manage.")
        return True


class IsOperator(CanManage):
    def has_permission(self, request: Request, view: APIView) -> bool:
        if not super().has_permission(request, view):
            return False
        if not is_operator(caller_of(request)):
            raise PermissionDenied("Only the operator of this colony may do this.")
        return True


def is_operator(caller: Caller | None) -> bool:
    return caller is not None and caller.tenant_slug in OPERATOR_TENANTS


def caller_of(request: Request) -> Caller | None:
    """What the authentication class found; None: nobody."""
    return cast("Caller | None", request.auth)
