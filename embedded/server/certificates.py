"""The TLS certificate of one embedded AWS, and the certificate authority that signs it."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme

_VALID_FOR = timedelta(days=30)
_CLOCK_SKEW = timedelta(minutes=5)


@dataclass(frozen=True)
class TlsFiles:
    """Paths of PEM files: the authority that clients trust, and the server's certificate and key.

    The authority's file is alone in its folder, which clients can trust as a whole.
    """

    ca_bundle: Path
    certificate: Path
    private_key: Path


def make_certificates(folder: Path) -> TlsFiles:
    """Write a new authority and its certificate for the local names to `folder`.

    The authority's private key is never written, so nobody can sign another certificate with it.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    now = datetime.now(UTC)
    authority = trustme.CA(
        path_length=0, organization_name="Fleetscore", organization_unit_name="embedded AWS, authority"
    )
    server = authority.issue_cert(
        "localhost",
        "*.localhost",
        "127.0.0.1",
        organization_name="Fleetscore",
        organization_unit_name="embedded AWS",
        not_before=now - _CLOCK_SKEW,
        not_after=now + _VALID_FOR,
    )
    files = TlsFiles(folder / "trusted" / "ca.pem", folder / "server.pem", folder / "server.key")
    files.ca_bundle.parent.mkdir(exist_ok=True)
    authority.cert_pem.write_to_path(files.ca_bundle)
    files.certificate.write_bytes(b"".join(part.bytes() for part in server.cert_chain_pems))
    files.private_key.touch(mode=0o600)
    server.private_key_pem.write_to_path(files.private_key)
    return files
