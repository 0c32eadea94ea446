"""People in a browser: by cookies and forms, with the token that our pages give."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

from django.http import HttpResponse
from django.test import Client

from tenants.models import Tenant, User
from tests.factories.tenants import PASSWORD, make_member
from tests.tenants.api.people import some_address

HOST = "localhost:7833"


class Browser:
    def __init__(self, user: User | None = None, **headers: str) -> None:
        self.client = Client(
            enforce_csrf_checks=True, headers={"host": HOST, **headers}, REMOTE_ADDR=some_address()
        )
        if user is not None:
            self.client.force_login(user)

    def get(self, path: str, **query: Any) -> HttpResponse:
        return self.client.get(path, query)

    def send(self, path: str, *, page: str | None = None, **fields: Any) -> HttpResponse:
        """The form of `page`, or of `path` itself, with what it holds and these fields."""
        form = Form(self.get(page or path).content.decode(), path if page else None)
        return self.resend(path, {**form.fields, **fields})

    def resend(self, path: str, fields: dict[str, Any]) -> HttpResponse:
        return self.client.post(path, {name: value for name, value in fields.items() if value is not None})

    def fields(self, path: str) -> dict[str, Any]:
        return Form(self.get(path).content.decode()).fields

    def log_in(self, user: User, password: str = PASSWORD, next_page: str = "") -> HttpResponse:
        path = "/accounts/login/" + (f"?next={next_page}" if next_page else "")
        return self.send(path, login=user.email, password=password)


class Form(HTMLParser):
    """What a browser would send of the last form of a page, or of the one with this action."""

    def __init__(self, text: str, action: str | None = None) -> None:
        super().__init__()
        self.wanted = action
        self.fields: dict[str, Any] = {}
        self.is_in, self.area, self.select = False, "", ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        of = dict(attrs)
        if tag == "form" and (of.get("method") or "").lower() == "post":
            self.is_in = self.wanted is None or of.get("action") == self.wanted
            if self.is_in:
                self.fields = {}
        if not self.is_in:
            return
        name = of.get("name") or ""
        if tag == "select":
            self.select = name
        elif tag == "textarea":
            self.area = name
            self.fields[name] = ""
        elif tag == "option" and self.select and ("selected" in of or self.select not in self.fields):
            self.fields[self.select] = of.get("value", "")
        elif tag == "input" and name:
            if of.get("type") not in {"checkbox", "radio"}:
                self.fields[name] = of.get("value") or ""
            elif "checked" in of:
                self.fields.setdefault(name, []).append(of.get("value") or "on")

    def handle_data(self, data: str) -> None:
        if self.area:
            self.fields[self.area] += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self.is_in = False
        elif tag == "textarea":
            self.area = ""
        elif tag == "select":
            self.select = ""


def browser_of(tenant: Tenant, role: str) -> Browser:
    return Browser(make_member(tenant, role).user)


def text_of(answer: HttpResponse) -> str:
    """What a page says, in one line."""
    return " ".join(re.sub(r"<[^>]+>", " ", answer.content.decode()).split())
