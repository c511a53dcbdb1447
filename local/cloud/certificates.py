"""A throw-away CA for the loopback addresses, and a bundle that trusts it beside the public ones."""

import os
import ssl
from pathlib import Path

import certifi
import trustme


def make(folder: Path) -> None:
    """Writes ca.pem, bundle.pem, cert.pem and key.pem; what is there already stays."""
    if (folder / "key.pem").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    ca = trustme.CA()
    leaf = ca.issue_cert("127.0.0.1", "localhost")
    ca.cert_pem.write_to_path(folder / "ca.pem")
    (folder / "bundle.pem").write_bytes(Path(certifi.where()).read_bytes() + b"\n" + ca.cert_pem.bytes())
    (folder / "cert.pem").write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
    key = folder / "key.pem"
    key.touch(mode=0o600)
    key.write_bytes(leaf.private_key_pem.bytes())


def server_context(folder: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


def trust(folder: Path) -> dict[str, str]:
    """The variables that make requests, httpx and aiohttp trust the CA: each library reads another one."""
    bundle = str(folder / "bundle.pem")
    return {"SSL_CERT_FILE": bundle, "REQUESTS_CA_BUNDLE": bundle, "CURL_CA_BUNDLE": bundle, "SSL_CERT_DIR": os.devnull}
