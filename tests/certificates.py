"""An authority of its own and a certificate it signed for this machine, for tests of TLS."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["dask_environment"]


def dask_environment(folder: Path) -> dict[str, str]:
    """Write an authority, a certificate for 127.0.0.1 and its key; return what names them to all parts of Dask."""
    folder.mkdir()
    root, own = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    names = {}
    for file, subject, key in (("ca.pem", "authority", root), ("cert.pem", "machine", own)):
        made = (
            x509.CertificateBuilder()
            .subject_name(_name(subject))
            .issuer_name(_name("authority"))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
            .not_valid_after(datetime(2120, 1, 1, tzinfo=UTC))
            .add_extension(x509.BasicConstraints(ca=key is root, path_length=None), critical=True)
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
            )
            .sign(root, hashes.SHA256())
        )
        (folder / file).write_bytes(made.public_bytes(Encoding.PEM))
    (folder / "key.pem").write_bytes(own.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    tls = "DASK_DISTRIBUTED__COMM__TLS__"
    names[f"{tls}CA_FILE"] = str(folder / "ca.pem")
    for part in ("SCHEDULER", "WORKER", "CLIENT"):
        names |= {f"{tls}{part}__CERT": str(folder / "cert.pem"), f"{tls}{part}__KEY": str(folder / "key.pem")}
    return names


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
