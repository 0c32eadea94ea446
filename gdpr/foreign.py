"""Privacy classes of the tables that installed packages bring."""

from gdpr.registry import classify

classify("auth.Permission", none=("id", "name", "content_type", "codename"))
classify("auth.Group", none=("id", "name"))
classify("contenttypes.ContentType", none=("id", "app_label", "model"))
classify("sessions.Session", secret=("session_key",), personal=("session_data",), none=("expire_date",))
classify("account.EmailAddress", none=("id", "verified", "primary"), pseudonym=("user",), personal=("email",))
classify(
    "account.EmailConfirmation", none=("id", "created", "sent"), pseudonym=("email_address",), secret=("key",)
)
classify(
    "socialaccount.SocialApp",
    none=("id", "provider"),
    pseudonym=("provider_id",),
    secret=("secret", "key"),
    content=("name", "client_id", "settings"),
)
classify(
    "socialaccount.SocialAccount",
    none=("id", "last_login", "date_joined"),
    pseudonym=("user", "provider"),
    personal=("uid", "extra_data"),
)
classify(
    "socialaccount.SocialToken",
    none=("id", "expires_at"),
    pseudonym=("app", "account"),
    secret=("token", "token_secret"),
)
classify(
    "mfa.Authenticator",
    none=("id", "type", "created_at", "last_used_at"),
    pseudonym=("user",),
    secret=("data",),
)
