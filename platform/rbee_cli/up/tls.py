"""What a certificate says: by which name this machine can be called, and who believes it."""

from __future__ import annotations

from pathlib import Path

from cryptography import x509

from rbee_cli.errors import UsageError


def certificate_names(path: Path) -> list[str]:
    """The DNS names and addresses that it is valid for, wildcards left out. Raises UsageError."""
    names = _certificate(path)
    try:
        extension = names.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    addresses = [str(address) for address in extension.get_values_for_type(x509.IPAddress)]
    return [*(name for name in extension.get_values_for_type(x509.DNSName) if "*" not in name), *addresses]


def is_self_signed(path: Path) -> bool:
    certificate = _certificate(path)
    return certificate.issuer == certificate.subject


def own_name(path: Path) -> str:
    """How to call this machine so that the certificate fits."""
    names = certificate_names(path)
    local = [name for name in ("localhost", "127.0.0.1") if name in names]
    if not names:
        raise UsageError(
            f"{path} names no host (subjectAltName): make one with your host's name, or set RBEE_PUBLIC_URL"
        )
    return next(iter(local or names))


def write_trust(certificate: Path, target: Path) -> Path:
    """A list of authorities for the local hive: those of the system and this certificate."""
    import certifi

    target.write_text(Path(certifi.where()).read_text() + "\n" + certificate.read_text())
    return target


def _certificate(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())[0]
    except (OSError, ValueError, IndexError) as error:
        raise UsageError(f"{path} is no certificate in PEM form: {error}") from error
