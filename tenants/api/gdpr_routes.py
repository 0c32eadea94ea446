from django.urls import path

from tenants.api.consents import Consents, ConsentTexts, OneConsent
from tenants.api.data_map import ErasurePlan, ExportSchema, ProcessingRecord, Retention
from tenants.api.documents import Documents
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
]
