"""What the tables hold that installed packages bring, and those that only join two."""

from gdpr.holding import Held, by_session
from gdpr.registry import classify

classify(
    "auth.Permission",
    none=("id", "name", "content_type", "codename"),
    held=Held("operations", "with the colony"),
)
classify("auth.Group", none=("id", "name"), held=Held("operations", "with the colony"))
classify("auth.Group_permissions", held=Held("operations", "with the colony"))
classify("tenants.User_groups", held=Held("accounts", "with the person", person="user"))
classify("tenants.User_user_permissions", held=Held("accounts", "with the person", person="user"))
classify(
    "contenttypes.ContentType",
    none=("id", "app_label", "model"),
    held=Held("operations", "with the colony"),
)
classify(
    "sessions.Session",
    secret=("session_key",),
    personal=("session_data",),
    none=("expire_date",),
    held=Held(
        "accounts", "0 days after expire_date", person=by_session("session_data"), export=False
    ),
)
classify(
    "account.EmailAddress",
    none=("id", "verified", "primary"),
    pseudonym=("user",),
    personal=("email",),
    held=Held("accounts", "with the person", person="user"),
)
classify(
    "account.EmailConfirmation",
    none=("id", "created", "sent"),
    pseudonym=("email_address",),
    secret=("key",),
    held=Held("accounts", "30 days after created", person="email_address__user", export=False),
)
classify(
    "socialaccount.SocialApp",
    none=("id", "provider"),
    pseudonym=("provider_id",),
    secret=("secret", "key"),
    content=("name", "client_id", "settings"),
    held=Held("operations", "with the colony", of_operator=True),
)
classify(
    "socialaccount.SocialAccount",
    none=("id", "last_login", "date_joined"),
    pseudonym=("user", "provider"),
    personal=("uid", "extra_data"),
    held=Held("accounts", "with the person", person="user"),
)
classify(
    "socialaccount.SocialToken",
    none=("id", "expires_at"),
    pseudonym=("app", "account"),
    secret=("token", "token_secret"),
    held=Held("accounts", "with the person", person="account__user", export=False),
)
classify(
    "mfa.Authenticator",
    none=("id", "type", "created_at", "last_used_at"),
    pseudonym=("user",),
    secret=("data",),
    held=Held("security", "with the person", person="user"),
)
