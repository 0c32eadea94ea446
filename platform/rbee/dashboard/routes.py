from django.urls import path
from django.views.generic import RedirectView

from rbee.dashboard.key_ends import LeakedKey, RevokeKey
from rbee.dashboard.keys import Keys, MakeKey, OneKey, RotateKey
from rbee.dashboard.tenant import LeaveVisit, SwitchTenant, Visit

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="dashboard_keys"), name="dashboard"),
    path("/keys", Keys.as_view(), name="dashboard_keys"),
    path("/keys/new", MakeKey.as_view(), name="dashboard_make_key"),
    path("/keys/<str:key>", OneKey.as_view(), name="dashboard_key"),
    path("/keys/<str:key>/leaked", LeakedKey.as_view(), name="dashboard_leaked_key"),
    path("/keys/<str:key>/revoke", RevokeKey.as_view(), name="dashboard_revoke_key"),
    path("/keys/<str:key>/rotate", RotateKey.as_view(), name="dashboard_rotate_key"),
    path("/tenant", SwitchTenant.as_view(), name="dashboard_tenant"),
    path("/visit", Visit.as_view(), name="dashboard_visit"),
    path("/visit/leave", LeaveVisit.as_view(), name="dashboard_leave_visit"),
]
