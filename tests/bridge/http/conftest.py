"""Scripted servers, throw-away certificates and a record of every connection attempt."""

from __future__ import annotations

import importlib.util
import ssl
import sys
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import pytest
import trustme

from bridge.http import HttpClient

_spec = importlib.util.spec_from_file_location("scripted_server", Path(__file__).with_name("scripted.py"))
scripted_server = importlib.util.module_from_spec(_spec)
sys.modules["scripted_server"] = scripted_server
_spec.loader.exec_module(scripted_server)

_watchers: list[list] = []


def _audit(event, args):
    if event == "socket.connect":
        for watcher in _watchers:
            watcher.append(args[1])


sys.addaudithook(_audit)


@pytest.fixture
def connects():
    """The address of every `connect` that this process attempts during the test."""
    seen = []
    _watchers.append(seen)
    yield seen
    _watchers.remove(seen)


@pytest.fixture
def answer():
    return scripted_server.answer


@pytest.fixture
def serve():
    """Start scripted servers; they end with the test."""
    with ExitStack() as stack:

        def start(script=None, **options):
            server = scripted_server.ScriptedServer(script, **options)
            stack.callback(server.close)
            return server

        yield start


@pytest.fixture
def client():
    """Make clients; they are closed with the test."""
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(HttpClient(**options))


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    """A certificate authority: `ca_file`, `issue(*names, **options)` and `context(certificate)`."""
    ca = trustme.CA()
    ca_file = tmp_path_factory.mktemp("tls") / "ca.pem"
    ca.cert_pem.write_to_path(str(ca_file))

    def context(certificate):
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(made)
        return made

    return SimpleNamespace(ca=ca, ca_file=ca_file, issue=ca.issue_cert, context=context)
