"""TLS settings of a client: verification is always on, files are read again when they change."""

from __future__ import annotations

import ssl
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import certifi
from pydantic import BaseModel, ConfigDict, Field, model_validator

from bridge.errors import SetupError
from bridge.secrets import Secret

__all__ = ["Tls", "TlsConfig", "TlsContexts"]


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM files of a TLS client, all optional.

    `ca_file` holds authorities trusted besides the system's, `cert_file` the client's own
    certificate chain (mutual TLS), `key_file` its key unless that is in `cert_file` too.
    """

    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    key_password: Secret | None = None

    def files(self) -> list[Path]:
        """The files that are named."""
        return [path for path in (self.ca_file, self.cert_file, self.key_file) if path]


class TlsConfig(BaseModel):
    """A sink's table of TLS settings, `[sinks.<id>.tls]`: verification is always on, these files add to it.

    A sink offers it as `tls: TlsConfig | None = Field(None, description="…")` in its own configuration
    and gives `settings()` to its `HttpClient`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    ca_file: Path | None = Field(None, description="PEM file of authorities trusted besides the system's")
    cert_file: Path | None = Field(None, description="PEM file of the client's certificate (mutual TLS)")
    key_file: Path | None = Field(None, description="PEM file of its key, unless that is in cert_file")
    key_password: Secret | None = Field(None, description="password of the key")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.cert_file is None and (self.key_file or self.key_password):
            raise ValueError("key_file and key_password belong to a cert_file: name it too")
        return self

    def settings(self) -> Tls:
        """The same as `HttpClient` takes it."""
        return Tls(self.ca_file, self.cert_file, self.key_file, self.key_password)


class TlsContexts:
    """The context for the next connection; certificates renewed on disk are taken up by it."""

    def __init__(self, tls: Tls) -> None:
        self._tls = tls
        self._lock = threading.Lock()
        self._stamp: list[int] | None = None
        self._context: ssl.SSLContext | None = None

    def current(self) -> ssl.SSLContext:
        """Return the context; `SetupError` names a file that cannot be used."""
        with self._lock:
            stamp = [_changed(path) for path in self._tls.files()]
            if self._context is None or stamp != self._stamp:
                self._context, self._stamp = _context(self._tls), stamp
            return self._context


def _changed(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError as error:
        raise SetupError(f"TLS: cannot read {path} ({error.strerror})") from None


def _context(tls: Tls) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if not context.cert_store_stats()["x509"]:  # slim images come without a bundle
        context.load_verify_locations(certifi.where())
    try:
        if tls.ca_file:
            context.load_verify_locations(tls.ca_file)
        if tls.cert_file:
            # without a password OpenSSL would ask for one on the terminal, and wait
            password = tls.key_password.reveal() if tls.key_password else ""
            context.load_cert_chain(tls.cert_file, tls.key_file, password)
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or "not usable"
        names = ", ".join(str(path) for path in tls.files())
        raise SetupError(f"TLS: cannot use {names} ({reason})") from None
    return context
