"""An identity provider that speaks SAML: it reads the request of a redirect, and signs assertions."""

from __future__ import annotations

import base64
import datetime as dt
import zlib
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from lxml import etree
from onelogin.saml2.constants import OneLogin_Saml2_Constants as Constants
from onelogin.saml2.utils import OneLogin_Saml2_Utils as Utils

EMAIL = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"
NAMESPACES = f'xmlns:saml="{Constants.NS_SAML}" xmlns:samlp="{Constants.NS_SAMLP}"'


def _key_and_certificate() -> tuple[str, str]:
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "login.example")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + dt.timedelta(days=1))
    ).sign(key, hashes.SHA256())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private.decode(), certificate.public_bytes(serialization.Encoding.PEM).decode()


@dataclass
class SamlProvider:
    entity_id: str = "https://login.example/saml"
    sso_url: str = "https://login.example/sso"
    pair: tuple[str, str] = field(default_factory=_key_and_certificate)

    def answer(
        self,
        redirect: str,
        email: str,
        *,
        audience: str = "",
        age: dt.timedelta = dt.timedelta(),
        signs: bool = True,
    ) -> str:
        """SAMLResponse to the AuthnRequest of this redirect."""
        (packed,) = parse_qs(urlsplit(redirect).query)["SAMLRequest"]
        asked = etree.fromstring(zlib.decompress(base64.b64decode(packed), -15))
        acs, request_id = asked.get("AssertionConsumerServiceURL"), asked.get("ID")
        audience = audience or asked.findtext(f"{{{Constants.NS_SAML}}}Issuer")
        now = dt.datetime.now(dt.UTC) - age
        at, until = (f"{moment:%Y-%m-%dT%H:%M:%SZ}" for moment in (now, now + dt.timedelta(minutes=5)))
        assertion = f"""<saml:Assertion {NAMESPACES} ID="_{uuid4().hex}" Version="2.0" IssueInstant="{at}">
          <saml:Issuer>{self.entity_id}</saml:Issuer>
          <saml:Subject><saml:NameID Format="{EMAIL}">{email}</saml:NameID>
            <saml:SubjectConfirmation Method="{Constants.CM_BEARER}">
              <saml:SubjectConfirmationData NotOnOrAfter="{until}" Recipient="{acs}" InResponseTo="{request_id}"/>
            </saml:SubjectConfirmation></saml:Subject>
          <saml:Conditions NotBefore="{at}" NotOnOrAfter="{until}">
            <saml:AudienceRestriction><saml:Audience>{audience}</saml:Audience></saml:AudienceRestriction>
          </saml:Conditions>
          <saml:AuthnStatement AuthnInstant="{at}" SessionIndex="_1"><saml:AuthnContext>
            <saml:AuthnContextClassRef>{Constants.AC_PASSWORD}</saml:AuthnContextClassRef>
          </saml:AuthnContext></saml:AuthnStatement>
        </saml:Assertion>"""
        if signs:
            private, certificate = self.pair
            signed = Utils.add_sign(assertion, private, certificate, sign_algorithm=Constants.RSA_SHA256)
            assertion = signed.decode() if isinstance(signed, bytes) else signed
        assertion = assertion.partition("?>")[2] if assertion.startswith("<?xml") else assertion
        response = f"""<samlp:Response {NAMESPACES} ID="_{uuid4().hex}" Version="2.0" IssueInstant="{at}"
          Destination="{acs}" InResponseTo="{request_id}"><saml:Issuer>{self.entity_id}</saml:Issuer>
          <samlp:Status><samlp:StatusCode Value="{Constants.STATUS_SUCCESS}"/></samlp:Status>{assertion}</samlp:Response>"""
        return base64.b64encode(response.encode()).decode()
