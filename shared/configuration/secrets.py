"""A credential's secret on its way into Key Vault: what is written, and the public facts that its row keeps."""

import datetime as dt
import secrets
from dataclasses import dataclass, field
from typing import Any

from shared.domain.base import Model
from shared.domain.configuration import CertificateOut, CredentialIn
from shared.errors import FieldError, Invalid

_YEARS = 2


def new_secret_name(credential: str) -> str:
    """A name that is used for one value and never again."""
    return f"credential-{credential}-{secrets.token_hex(8)}"


class Pin(Model):
    """What the row keeps about a secret: its name in the vault and the public facts. `pem` is the public certificate."""

    name: str
    certificate: CertificateOut | None = None
    pem: str | None = None


def prepare(credential: CredentialIn, *, has_pin: bool, type_changed: bool) -> "Prepared | None":
    """The secret to write, or None where nothing changes. Raises Invalid for one that is missing or can't be used."""
    if credential.type == "client-secret":
        if credential.client_secret:
            ends = credential.secret_expires_on
            return Prepared(credential.client_secret.get_secret_value(), Pin(name=""), "text/plain", ends)
        if not has_pin or type_changed:
            raise Invalid(
                "A client-secret credential needs its secret.",
                fields=(FieldError("clientSecret", "missing", "is needed"),),
            )
    if credential.type == "certificate":
        if credential.certificate:
            pem = credential.certificate.get_secret_value()
            return _of_certificate(pem)
        if not has_pin or type_changed:
            pem = make_certificate(credential.name)
            return _of_certificate(pem)
    return None


@dataclass(frozen=True)
class Prepared:
    """A secret that may be written. `pin` is without a name yet."""

    value: str = field(repr=False)
    pin: Pin
    content_type: str
    expires_on: dt.datetime | None


def _of_certificate(pem: str) -> Prepared:
    pin = _public(pem)
    return Prepared(pem, pin, "application/x-pem-file", pin.certificate.expires_on if pin.certificate else None)


def _public(pem: str) -> Pin:
    """The public facts of a PEM that holds certificate and private key. Raises Invalid, never quoting the PEM."""
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    data = pem.encode()
    try:
        certificate = x509.load_pem_x509_certificate(data)
        key: Any = serialization.load_pem_private_key(data, password=None)
        public = certificate.public_key()
        if not isinstance(public, rsa.RSAPublicKey) or key.public_key().public_numbers() != public.public_numbers():
            raise ValueError("not RSA, or the key is not the certificate's")
    except (ValueError, TypeError, AttributeError, UnsupportedAlgorithm) as error:
        raise Invalid(
            "The certificate can't be used.",
            fields=(
                FieldError(
                    "certificate",
                    "unusable",
                    "must be PEM with one RSA certificate and its private key, without password",
                ),
            ),
        ) from error
    facts = CertificateOut(
        subject=certificate.subject.rfc4514_string(),
        thumbprint=certificate.fingerprint(hashes.SHA1()).hex().upper(),  # noqa: S303 - the form that Entra shows
        expires_on=certificate.not_valid_after_utc,
    )
    return Pin(name="", certificate=facts, pem=certificate.public_bytes(serialization.Encoding.PEM).decode())


def make_certificate(name: str) -> str:
    """A new self-signed RSA certificate with its key, PEM: two years, 2048 bits."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.x509.oid import NameOID

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    subject = x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, f"Rollcall {name}".encode()[:60].decode(errors="ignore"))]
    )
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=5))
        .not_valid_after(now + dt.timedelta(days=365 * _YEARS))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return (certificate.public_bytes(serialization.Encoding.PEM) + private).decode()
