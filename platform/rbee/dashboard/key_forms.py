"""Forms of keys. What they say goes through the checks of the management API, and what those find stands beside the
field that it is about."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

from django import forms
from rest_framework import serializers

from rbee.dashboard.key_rows import MICROS, lasting
from tenants.api.key_fields import MICROS_MAX, KeyChange, NewKey
from tenants.domain.keys import KeyRefused, budget_of, checked_fields
from tenants.domain.limit_shape import LimitsRefused
from tenants.enums import KeyScope
from tenants.models import ApiKey

SCOPE_LABELS: Final[Mapping[str, str]] = {
    KeyScope.INFERENCE: "Inference: call models at /v1",
    KeyScope.READ: "Read: see what an administrator sees at /api/v1, change nothing",
    KeyScope.MANAGE: "Manage: administer this tenant at /api/v1",
    KeyScope.GDPR: "Data protection: what people agreed to and may demand, at /gdpr",
}
BETWEEN: Final = re.compile(r"[\s,]+")
OVERLAPS: Final = (timedelta(0), timedelta(hours=1), timedelta(days=1), timedelta(days=7), timedelta(days=30))


class ListField(forms.CharField):
    """Separated by spaces, commas or lines."""

    widget = forms.Textarea(attrs={"rows": 2, "spellcheck": "false", "autocapitalize": "off"})

    def __init__(self, **options: Any) -> None:
        super().__init__(required=False, max_length=20_000, **options)

    def to_python(self, value: Any) -> Any:
        return [one for one in BETWEEN.split(super().to_python(value) or "") if one]

    def run_validators(self, value: Any) -> None:
        super().run_validators(" ".join(value))

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value


class MoneyField(forms.DecimalField):
    """Of the tenant's currency, in the form; millionths of it, cleaned."""

    def __init__(self, **options: Any) -> None:
        largest = Decimal(MICROS_MAX) / MICROS
        super().__init__(required=False, min_value=0, max_value=largest, decimal_places=6, **options)
        self.widget.attrs["inputmode"] = "decimal"

    def clean(self, value: Any) -> Any:
        amount = super().clean(value)
        return None if amount is None else int(amount * MICROS)

    def prepare_value(self, value: Any) -> Any:
        return f"{Decimal(value) / MICROS:f}" if isinstance(value, int) else value


class Moment(forms.DateTimeInput):
    input_type = "datetime-local"

    def __init__(self) -> None:
        super().__init__(format="%Y-%m-%dT%H:%M")


class KeyForm(forms.Form):
    """What may be said of a key when it is made, and changed later."""

    checks: type[serializers.Serializer[Any]] = KeyChange

    name = forms.CharField(max_length=200, help_text="So that you know later what uses it.")
    allowed_models = ListField(
        label="Models",
        help_text="Only these of the tenant's models, such as rbee-mini or llama-*. Empty: all of them.",
    )
    allowed_ips = ListField(
        label="Addresses", help_text="Where it may be used from, such as 192.0.2.0/24. Empty: anywhere."
    )
    expires_at = forms.DateTimeField(
        label="Ends at", required=False, widget=Moment(), help_text="In UTC. Empty: never."
    )
    budget_day = MoneyField(label="Budget a day")
    budget_month = MoneyField(label="Budget a month", help_text="Days and months of UTC. Empty: no limit.")

    def __init__(self, *args: Any, currency: str, may_limit: bool, **named: Any) -> None:
        super().__init__(*args, **{"label_suffix": "", **named})
        for name in ("budget_day", "budget_month"):
            if may_limit:
                self.fields[name].label = f"{self.fields[name].label}, {currency}"
            else:
                del self.fields[name]

    def clean(self) -> dict[str, Any]:
        cleaned = dict(self.cleaned_data)
        checking = self.checks(data=self._body(cleaned))
        if not checking.is_valid():
            for name, found in checking.errors.items():
                self.add_error(self._field_of(name), _first(found))
        for name, value in checking.validated_data.items() if not checking.errors else ():
            try:
                checked_fields({name: value})
            except KeyRefused as refused:
                self.refused(refused)
        return cleaned

    @property
    def body(self) -> dict[str, Any]:
        """As the domain functions take it."""
        checking = self.checks(data=self._body(self.cleaned_data))
        checking.is_valid(raise_exception=True)
        return dict(checking.validated_data)

    def refused(self, error: KeyRefused | LimitsRefused) -> None:
        name = error.field if isinstance(error, KeyRefused) else "budget_month"
        message = str(error)
        self.add_error(self._field_of(name), message[:1].upper() + message[1:])

    def _body(self, cleaned: Mapping[str, Any]) -> dict[str, Any]:
        names = ("name", "scopes", "allowed_models", "allowed_ips", "expires_at", "value", "project")
        body = {name: cleaned[name] for name in names if name in cleaned}
        budget = {
            period: cleaned[f"budget_{period}"]
            for period in ("day", "month")
            if f"budget_{period}" in cleaned
        }
        return body | ({"budget": budget} if budget else {})

    def _field_of(self, name: str) -> str | None:
        return name if name in self.fields else None


class NewKeyForm(KeyForm):
    checks = NewKey

    project = forms.ChoiceField()
    scopes = forms.MultipleChoiceField(
        label="What it may do", widget=forms.CheckboxSelectMultiple, initial=[KeyScope.INFERENCE]
    )
    value = forms.CharField(
        label="Its value",
        required=False,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
        help_text="Only to bring a key of another gateway along. Empty: rbee makes one.",
    )
    field_order = ["name", "project", "scopes", "allowed_models", "allowed_ips", "expires_at"]

    def __init__(
        self, *args: Any, projects: Iterable[tuple[str, str]], scopes: Iterable[str], **named: Any
    ) -> None:
        super().__init__(*args, **named)
        self.fields["project"].choices = list(projects)  # type: ignore[attr-defined]
        self.fields["scopes"].choices = [(one, SCOPE_LABELS[one]) for one in scopes]  # type: ignore[attr-defined]

    def _body(self, cleaned: Mapping[str, Any]) -> dict[str, Any]:
        """What is empty is left out."""
        body = super()._body(cleaned)
        body["budget"] = {period: limit for period, limit in body["budget"].items() if limit is not None}
        return {name: value for name, value in body.items() if value not in (None, "", [], {})}


class KeyChangeForm(KeyForm):
    @classmethod
    def of(cls, key: ApiKey, data: Any = None, **named: Any) -> KeyChangeForm:
        budget = budget_of(key)
        initial = {
            **{name: getattr(key, name) for name in ("name", "allowed_models", "allowed_ips", "expires_at")},
            "budget_day": budget["day"],
            "budget_month": budget["month"],
        }
        return cls(data, initial=initial, **named)

    def _body(self, cleaned: Mapping[str, Any]) -> dict[str, Any]:
        """What was left as it is is no change, and a time is shown to the minute only."""
        body, initial = super()._body(cleaned), self.initial
        if self.data.get("expires_at") == Moment().format_value(initial["expires_at"]):
            body.pop("expires_at", None)
        if body.get("budget") == {"day": initial["budget_day"], "month": initial["budget_month"]}:
            del body["budget"]
        return body


class RotationForm(forms.Form):
    overlap = forms.TypedChoiceField(
        label="The old value goes on for",
        choices=[
            (int(one.total_seconds()), lasting(one) if one else "not at all: it ends at once")
            for one in OVERLAPS
        ],
        initial=int(OVERLAPS[2].total_seconds()),
        coerce=int,
    )


class LeakForm(forms.Form):
    value = forms.ChoiceField(label="What leaked", widget=forms.RadioSelect)

    def __init__(self, *args: Any, key: ApiKey, **named: Any) -> None:
        super().__init__(*args, **{"label_suffix": "", **named})
        self.fields["value"].choices = [  # type: ignore[attr-defined]
            ("present", f"Its present value, {key.kid}…{key.last4}: the key ends"),
            (
                "old",
                f"The value of before, {key.old_kid}…{key.old_last4}: the key goes on with its present one",
            ),
        ]


def _first(found: Any) -> str:
    while isinstance(found, list | dict) and found:
        found = next(iter(found.values() if isinstance(found, dict) else found))
    return str(found)
