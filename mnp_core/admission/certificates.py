"""The certificates of the webhook: its own certificate authority, and the serving certificate.

Renewal depends on the present certificates and the time alone, so all replicas decide the same. An authority is
replaced well before it expires; the old one stays trusted until then, but signs no more. The new one signs after ten
minutes, when every API server trusts it.
"""

import base64
import os
import ssl
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import Final

from attrs import evolve
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mnp_core.classes import frozen

AUTHORITY_LIFE: Final = timedelta(days=365)
SERVING_LIFE: Final = timedelta(days=30)
SETTLED: Final = timedelta(minutes=10)
"""Age from which every API server is assumed to trust an authority."""

_SKEW: Final = timedelta(minutes=5)  # clocks of API servers may be behind
_RENEWED_AFTER: Final = 2 / 3  # of a certificate's life
_MOST_AUTHORITIES: Final = 5
_FIELDS: Final = {"authorities": "ca.crt", "authority_key": "ca.key", "certificate": "tls.crt", "key": "tls.key"}


@frozen(kw_only=True)
class Certificates:
    """Certificates and keys as PEM; empty if missing.

    Attributes:
        authorities: The trusted authorities, the newest first.
        authority_key: The newest one's key.
        certificate: The serving certificate.
        key: Its key.
    """

    authorities: bytes = b""
    authority_key: bytes = b""
    certificate: bytes = b""
    key: bytes = b""

    @classmethod
    def of_secret(cls, data: Mapping[str, object]) -> "Certificates":
        """Decode ``data`` of a Secret; values that are not base64 count as missing."""
        return cls(**{name: _decoded(data.get(key)) for name, key in _FIELDS.items()})

    def as_secret(self) -> dict[str, str]:
        """``data`` of a Secret."""
        return {key: base64.b64encode(getattr(self, name)).decode() for name, key in _FIELDS.items()}

    @property
    def expires(self) -> float:
        """The end of the serving certificate, in seconds since the epoch; 0 without one."""
        serving = _certificates(self.certificate)
        return serving[0].not_valid_after_utc.timestamp() if serving else 0.0


def renewed(known: Certificates, hosts: Sequence[str], now: datetime) -> Certificates:
    """Renew certificates that are due; the others stay.

    Args:
        known: The present certificates; invalid ones count as missing.
        hosts: Subject alternative names of the serving certificate: DNS names and IP addresses.
        now: The current time, with a time zone.
    """
    authority, trusted = _authority(known, now)
    if authority is None:
        known, authority = _with_new_authority(known, trusted, now)
    elif len(trusted) != len(_certificates(known.authorities)):
        known = evolve(known, authorities=b"".join(map(_pem, trusted)))  # one has ended
    if not _is_fine(known, authority, hosts, now):
        known = _with_new_serving(known, authority, hosts, now)
    return known


def serving_context(certificates: Certificates) -> ssl.SSLContext:
    """The server's TLS context; the key is never written to a file system.

    Raises:
        ssl.SSLError: Certificate or key is invalid, or they do not match.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    file = os.memfd_create("certificate")
    try:
        os.write(file, certificates.certificate + b"\n" + certificates.key)
        context.load_cert_chain(f"/proc/self/fd/{file}")
    finally:
        os.close(file)
    return context


def _decoded(value: object) -> bytes:
    with suppress(ValueError):
        return base64.b64decode(value, validate=True) if isinstance(value, str) else b""
    return b""


def _certificates(pem: bytes) -> list[x509.Certificate]:
    with suppress(ValueError):
        return x509.load_pem_x509_certificates(pem)[:_MOST_AUTHORITIES] if pem else []
    return []


def _key(pem: bytes) -> ec.EllipticCurvePrivateKey | None:
    with suppress(ValueError, TypeError):
        key = serialization.load_pem_private_key(pem, None)
        return key if isinstance(key, ec.EllipticCurvePrivateKey) else None
    return None


def _authority(known: Certificates, now: datetime) -> tuple[x509.Certificate | None, list[x509.Certificate]]:
    """The signing authority, None if a new one is due, and all authorities that have not expired."""
    trusted = [each for each in _certificates(known.authorities) if now < each.not_valid_after_utc]
    key = _key(known.authority_key)
    if not trusted or key is None or key.public_key() != trusted[0].public_key() or _is_due(trusted[0], now):
        return None, trusted
    return trusted[0], trusted


def _is_due(certificate: x509.Certificate, now: datetime) -> bool:
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return not begin <= now < begin + (end - begin) * _RENEWED_AFTER


def _is_fine(known: Certificates, authority: x509.Certificate, hosts: Sequence[str], now: datetime) -> bool:
    """Whether the serving certificate is valid for these hosts, signed by a trusted authority, and not due."""
    found, key = _certificates(known.certificate), _key(known.key)
    if not found or key is None or key.public_key() != found[0].public_key() or _hosts_of(found[0]) != set(hosts):
        return False
    if not found[0].not_valid_before_utc <= now < found[0].not_valid_after_utc - SETTLED:
        return False
    if now < authority.not_valid_before_utc + _SKEW + SETTLED:  # not every API server may trust it yet
        return any(_has_signed(each, found[0]) for each in _certificates(known.authorities))
    return _has_signed(authority, found[0]) and not _is_due(found[0], now)


def _has_signed(authority: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _hosts_of(certificate: x509.Certificate) -> set[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return set()
    return {str(each.value) for each in names}


def _with_new_authority(
    known: Certificates, trusted: list[x509.Certificate], now: datetime
) -> tuple[Certificates, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"mnp-admit {now:%Y-%m-%d %H:%M:%S}")])
    usage = _usage(signs_certificates=True)
    authority = (
        _builder(name, key, now, now + AUTHORITY_LIFE)
        .issuer_name(name)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    all_trusted = [authority, *trusted][:_MOST_AUTHORITIES]
    return evolve(known, authorities=b"".join(map(_pem, all_trusted)), authority_key=_key_pem(key)), authority


def _with_new_serving(
    known: Certificates, authority: x509.Certificate, hosts: Sequence[str], now: datetime
) -> Certificates:
    key, signer = ec.generate_private_key(ec.SECP256R1()), _key(known.authority_key)
    if signer is None:
        raise TypeError("the authority has no key")
    end = min(now + SERVING_LIFE, authority.not_valid_after_utc)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mnp-admit")])
    certificate = (
        _builder(name, key, now, end)
        .issuer_name(authority.subject)
        .add_extension(x509.SubjectAlternativeName(list(map(_general_name, hosts))), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .sign(signer, hashes.SHA256())
    )
    return evolve(known, certificate=_pem(certificate), key=_key_pem(key))


def _builder(name: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime, end: datetime) -> x509.CertificateBuilder:
    return x509.CertificateBuilder(
        subject_name=name,
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=now - _SKEW,
        not_valid_after=end,
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(host: str) -> x509.GeneralName:
    with suppress(ValueError):
        return x509.IPAddress(ip_address(host))
    return x509.DNSName(host)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    form, nothing = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, form, nothing)
