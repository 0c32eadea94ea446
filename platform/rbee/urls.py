from django.urls import URLPattern, URLResolver, include, path

from tenants.views import Invited

urlpatterns: list[URLPattern | URLResolver] = [
    path("", include("inference.urls")),
    path("dashboard", include("rbee.dashboard.routes")),
    path("accounts/invitation/<str:token>/", Invited.as_view(), name="invitation"),
    path("accounts/", include("allauth.urls")),
    path("_allauth/", include("allauth.headless.urls")),
]

handler400 = "rbee.errors.bad_request"
handler403 = "rbee.errors.permission_denied"
handler404 = "rbee.errors.not_found"
handler500 = "rbee.errors.server_error"
