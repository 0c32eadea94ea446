from django.urls import path

from rbee.dashboard.audit import AuditLog
from rbee.dashboard.audit_files import AuditCheckpoint, AuditExport, AuditKey, AuditProof
from rbee.dashboard.consents import AnswerConsent, Consents, EndUserConsents, FindEndUser
from rbee.dashboard.key_ends import LeakedKey, RevokeKey
from rbee.dashboard.keys import Keys, MakeKey, OneKey, RotateKey
from rbee.dashboard.privacy import AskForExport, Privacy
from rbee.dashboard.privacy_erasure import AskForErasure
from rbee.dashboard.privacy_request import DownloadCertificate, DownloadExport, OneRequest, TakeErasureBack
from rbee.dashboard.residency import DownloadDocument, Residency
from rbee.dashboard.tenant import LeaveVisit, Start, SwitchTenant, Visit

urlpatterns = [
    path("", Start.as_view(), name="dashboard"),
    path("/audit", AuditLog.as_view(), name="dashboard_audit"),
    path("/audit/checkpoint", AuditCheckpoint.as_view(), name="dashboard_audit_checkpoint"),
    path("/audit/export", AuditExport.as_view(), name="dashboard_audit_export"),
    path("/audit/key", AuditKey.as_view(), name="dashboard_audit_key"),
    path("/audit/proof/<uuid:entry>", AuditProof.as_view(), name="dashboard_audit_proof"),
    path("/consents", Consents.as_view(), name="dashboard_consents"),
    path("/consents/answer", AnswerConsent.as_view(), name="dashboard_answer_consent"),
    path("/consents/find", FindEndUser.as_view(), name="dashboard_find_end_user"),
    path("/consents/of/<str:subject>", EndUserConsents.as_view(), name="dashboard_consents_of"),
    path("/keys", Keys.as_view(), name="dashboard_keys"),
    path("/keys/new", MakeKey.as_view(), name="dashboard_make_key"),
    path("/keys/<str:key>", OneKey.as_view(), name="dashboard_key"),
    path("/keys/<str:key>/leaked", LeakedKey.as_view(), name="dashboard_leaked_key"),
    path("/keys/<str:key>/revoke", RevokeKey.as_view(), name="dashboard_revoke_key"),
    path("/keys/<str:key>/rotate", RotateKey.as_view(), name="dashboard_rotate_key"),
    path("/privacy", Privacy.as_view(), name="dashboard_privacy"),
    path("/privacy/erase/<str:whose>", AskForErasure.as_view(), name="dashboard_erase"),
    path("/privacy/export/<str:whose>", AskForExport.as_view(), name="dashboard_export"),
    path("/privacy/requests/<uuid:request_id>", OneRequest.as_view(), name="dashboard_privacy_request"),
    path(
        "/privacy/requests/<uuid:request_id>/certificate",
        DownloadCertificate.as_view(),
        name="dashboard_certificate",
    ),
    path(
        "/privacy/requests/<uuid:request_id>/content",
        DownloadExport.as_view(),
        name="dashboard_export_content",
    ),
    path(
        "/privacy/requests/<uuid:request_id>/take-back", TakeErasureBack.as_view(), name="dashboard_take_back"
    ),
    path("/residency", Residency.as_view(), name="dashboard_residency"),
    path("/residency/documents/<str:kind>", DownloadDocument.as_view(), name="dashboard_document"),
    path("/tenant", SwitchTenant.as_view(), name="dashboard_tenant"),
    path("/visit", Visit.as_view(), name="dashboard_visit"),
    path("/visit/leave", LeaveVisit.as_view(), name="dashboard_leave_visit"),
]
