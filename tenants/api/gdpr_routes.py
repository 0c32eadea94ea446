from django.urls import path

from tenants.api.encryption_keys import EncryptionKeys, RetireEncryptionKey, RotateEncryptionKey

urlpatterns = [
    path("keys", EncryptionKeys.as_view()),
    path("keys/retire", RetireEncryptionKey.as_view()),
    path("keys/rotate", RotateEncryptionKey.as_view()),
]
