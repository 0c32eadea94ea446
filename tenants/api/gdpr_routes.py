"""What the law lets persons, tenants and the operator ask, below /gdpr/."""

from django.urls import path

from tenants.api.audit import AuditEntries
from tenants.api.audit_export import AuditExport
from tenants.api.audit_proofs import Checkpoint, Key, Proof
from tenants.api.audit_retention import AuditRetention
from tenants.api.audit_subscribers import OneSubscriber, Subscribers
from tenants.api.consents import Consents, ConsentTexts, OneConsent
from tenants.api.data_map import ErasurePlan, ExportSchema, ProcessingRecord, Retention
from tenants.api.data_requests import Requests, RetryRequest
from tenants.api.documents import Documents
from tenants.api.encryption_keys import EncryptionKeys, RetireEncryptionKey, RotateEncryptionKey
from tenants.api.erasures import CancelErasure, Certificate, Erasures, OneErasure, Replay, SigningKey
from tenants.api.exports import ExportContent, Exports, Imports, OneExport, OneImport
from tenants.api.sub_processors import Objection, OneSubProcessor, SubProcessors

urlpatterns = [
    path("consents", Consents.as_view()),
    path("consents/<slug:purpose>", OneConsent.as_view()),
    path("consent-texts", ConsentTexts.as_view()),
    path("record", ProcessingRecord.as_view()),
    path("schema", ExportSchema.as_view()),
    path("plan", ErasurePlan.as_view()),
    path("retention", Retention.as_view()),
    path("documents/<slug:kind>", Documents.as_view()),
    path("subprocessors", SubProcessors.as_view()),
    path("subprocessors/<uuid:sub_processor>", OneSubProcessor.as_view()),
    path("subprocessors/<uuid:sub_processor>/objection", Objection.as_view()),
    path("export", Exports.as_view()),
    path("export/<uuid:request_id>", OneExport.as_view()),
    path("export/<uuid:request_id>/content", ExportContent.as_view()),
    path("delete", Erasures.as_view()),
    path("delete/<uuid:request_id>", OneErasure.as_view()),
    path("delete/<uuid:request_id>/cancel", CancelErasure.as_view()),
    path("delete/<uuid:request_id>/certificate", Certificate.as_view()),
    path("import", Imports.as_view()),
    path("import/<uuid:request_id>", OneImport.as_view()),
    path("replay", Replay.as_view()),
    path("requests", Requests.as_view()),
    path("requests/<uuid:request_id>/retry", RetryRequest.as_view()),
    path("signing-key", SigningKey.as_view()),
    path("audit/checkpoint", Checkpoint.as_view()),
    path("audit/key", Key.as_view()),
    path("audit/proof", Proof.as_view()),
    path("audit/subscribers", Subscribers.as_view()),
    path("audit/subscribers/<uuid:member>", OneSubscriber.as_view()),
    path("keys", EncryptionKeys.as_view()),
    path("keys/retire", RetireEncryptionKey.as_view()),
    path("keys/rotate", RotateEncryptionKey.as_view()),
    path("audit/entries", AuditEntries.as_view()),
    path("audit/export", AuditExport.as_view()),
    path("audit/retention", AuditRetention.as_view()),
]
