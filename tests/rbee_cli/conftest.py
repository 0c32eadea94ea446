"""A colony in business mode behind a certificate of its own, as an operator's command line meets it."""

import datetime
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.migrated import begin_migrated
from tests.system import System


class SecureSystem(System):
    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    @property
    def certificate(self) -> Path:
        return self.data_dir.parent / "cert.pem"

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "SSL_CERT_FILE": str(self.certificate)}

    def run_as(
        self, key: str, *arguments: str, stdin: str = "", check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """With `key` in place of the operator's; with an empty one, with what the config file holds."""
        self.business = False
        try:
            return self.run(*arguments, *(["--api-key", key] if key else []), stdin=stdin, check=check)
        finally:
            self.business = True


@pytest.fixture(scope="package")
def secure() -> Iterator[SecureSystem]:
    with tempfile.TemporaryDirectory(prefix="rbee-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        write_certificate(folder)
        tls = ["--tls-cert", str(folder / "cert.pem"), "--tls-key", str(folder / "key.pem")]
        system = SecureSystem(folder / "data", business=True, arguments=tls)
        begin_migrated(system.data_dir)
        try:
            yield system.start()
        finally:
            if system.process is not None and system.process.poll() is None:
                system.stop()


def write_certificate(folder: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "rbee test")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "cert.pem").write_bytes(certificate.public_bytes(pem))
    (folder / "key.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
