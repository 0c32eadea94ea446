"""Privacy classes of the tables that installed packages bring."""

from gdpr.registry import classify

classify("auth.Permission", none=("id", "name", "content_type", "codename"))
classify("auth.Group", none=("id", "name"))
classify("contenttypes.ContentType", none=("id", "app_label", "model"))
