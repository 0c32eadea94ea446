from django.urls import path

from tenants.api.audit_proofs import Checkpoint, Key, Proof

urlpatterns = [
    path("audit/checkpoint", Checkpoint.as_view()),
    path("audit/key", Key.as_view()),
    path("audit/proof", Proof.as_view()),
]
