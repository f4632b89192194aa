"""The SDK from npm, a browser from Debian, a bridge process to send to, and what reached its archive."""

from __future__ import annotations

import base64
import contextlib
import gzip
import http.client
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bridge.intake.auth import digest
from bridge.testing.destination import Destination

HERE = Path(__file__).parent
POSTHOG = HERE.parents[1] / "plugins" / "posthog"
CACHE = Path(__file__).parents[3] / ".cache"
KEY = "sdk-test-key-0123456789abcdefghijklmnop"
PACKAGES = {
    "1": ("@project-sunbird/telemetry-sdk@1.3.0", "ajv@6.12.6", "jquery@3.7.1"),
    "2": ("@project-sunbird/telemetry-sdk@2.0.1",),
}
PATIENCE = 60.0
OK = 200


def absent(what):
    """Skip a test for lack of something, or fail it where nothing may be lacking."""
    if os.environ.get("CI") == "true":
        pytest.fail(what)
    pytest.skip(what)


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def until(condition, patience=PATIENCE):
    ends = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < ends, "it did not come true"
        time.sleep(0.05)


@pytest.fixture(scope="session")
def sdk():
    """Where npm put each line of the SDK."""
    if not shutil.which("npm"):
        absent("npm is needed to get the SDK")
    folders = {}
    for line, packages in PACKAGES.items():
        folder = CACHE / "sdk" / f"{line}-{packages[0].rpartition('@')[2]}"
        if not (folder / "complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            (folder / "package.json").write_text('{"private": true}')
            command = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", *packages]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
            if done.returncode:
                absent(f"npm could not install the SDK: {done.stderr[-300:]}")
            (folder / "complete").touch()
        folders[line] = folder
    return folders


@pytest.fixture(scope="session")
def programs():
    """The browser and its driver, installed from Debian where they are missing."""
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        if shutil.which("apt-get") and os.geteuid() == 0:
            for command in (["update"], ["install", "-y", "chromium", "chromium-driver"]):
                subprocess.run(["apt-get", "-qq", *command], capture_output=True, check=False)
        if not (shutil.which("chromium") and shutil.which("chromedriver")):
            absent("chromium and chromedriver are needed: apt-get install chromium chromium-driver")
    return shutil.which("chromium"), shutil.which("chromedriver")


class BridgeProcess:
    """`bridge run` with an archive, and perhaps other `sinks`; it can be stopped and started again."""

    def __init__(self, folder, origin, sinks=""):
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        (folder / "config.toml").write_text(f"""
[intake.http]
enabled = true
port = {self.port}
cors_origins = ["{origin}"]
limits.rate = 0
[intake.http.keys.test]
sha256 = "{digest(KEY)}"
channels = ["in.test"]
[sinks.archive]
type = "s3"
url = "file:archive"
[ops]
enabled = false
{sinks}""")
        self._process = None
        self.start()

    def start(self):
        command = [sys.executable, "-m", "bridge", "--config", str(self.folder / "config.toml"), "run"]
        log = (self.folder / "log").open("ab")
        self._process = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log)
        log.close()
        until(self._healthy)

    def stop(self):
        """Stop in order: what was taken is delivered, or stays in the journal for the next start."""
        if self._process and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            assert self._process.wait(PATIENCE) == 0, (self.folder / "log").read_text()

    def kill(self):
        self._process.kill()
        self._process.wait()

    def archived(self):
        """Every event in the archive, as often as it is there."""
        events = []
        for path in sorted((self.folder / "archive" / "data").rglob("*.jsonl.gz")):
            events += [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
        return events

    def _healthy(self):
        assert self._process.poll() is None, (self.folder / "log").read_text()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        with contextlib.suppress(OSError), contextlib.closing(connection):
            connection.request("GET", "/health")
            return connection.getresponse().status == OK
        return False


@pytest.fixture
def bridge(tmp_path, site):
    process = BridgeProcess(tmp_path, site)
    yield process
    process.stop()


def _helper(name):
    """A helper of the PostHog tests, under the name that they give it."""
    full = f"posthog_{name}"
    if full not in sys.modules:
        spec = importlib.util.spec_from_file_location(full, POSTHOG / f"{name}.py")
        sys.modules[full] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[full])
    return sys.modules[full]


@pytest.fixture
def product():
    """A strict PostHog capture, which judges what it is sent."""
    _helper("capture_rules")
    with _helper("capture_server").running() as capture:
        yield capture


@pytest.fixture
def partner():
    """Somebody's webhook, which takes everything."""
    with Destination() as destination:
        yield destination


@pytest.fixture
def bridge_to_all(tmp_path, site, product, partner):
    """A bridge with an archive, a product and a partner."""
    process = BridgeProcess(
        tmp_path,
        site,
        f"""
[sinks.product]
type = "posthog"
api_key = "phc_{"t" * 43}"
host = "{product.url}"
[sinks.partner]
type = "webhook"
url = "{partner.url}/telemetry"
allow_http = true
allow_networks = ["127.0.0.0/8"]
ports = [{partner.port}]
""",
    )
    yield process
    process.stop()


class _Files(SimpleHTTPRequestHandler):
    def __init__(self, *arguments, places, **options):
        self.places = places
        super().__init__(*arguments, **options)

    def translate_path(self, path):
        return str(self.places.get(path.partition("?")[0], "/nowhere"))

    def log_message(self, *_):
        pass


@pytest.fixture(scope="session")
def site(sdk):
    """The origin of a portal: the page, and the SDK beside it."""
    modules = {line: folder / "node_modules" for line, folder in sdk.items()}
    name = Path("@project-sunbird/telemetry-sdk")
    places = {
        "/": HERE / "clients" / "page.html",
        "/events.js": HERE / "clients" / "events.js",
        "/jquery.js": modules["1"] / "jquery" / "dist" / "jquery.min.js",
        "/sdk1.js": modules["1"] / name / "index.js",
        "/sdk2.js": modules["2"] / name / "dist" / "index.global.js",
    }
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Files, places=places))
    thread = threading.Thread(target=server.serve_forever, args=(0.1,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


class Browser:
    """Headless Chromium, driven by the W3C WebDriver protocol."""

    def __init__(self, chromium, driver, folder):
        self._port = free_port()
        log = (folder / "chromedriver.log").open("wb")
        self._driver = subprocess.Popen([driver, f"--port={self._port}"], stdout=log, stderr=log)
        log.close()
        self._session = ""
        arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        arguments += ["--window-size=900,760", "--no-first-run", "--disable-background-networking"]
        options = {"binary": chromium, "args": [*arguments, f"--user-data-dir={folder / 'profile'}"]}
        wanted = {"capabilities": {"alwaysMatch": {"goog:chromeOptions": options}}}
        until(self._listening)
        self._session = "/session/" + self._call("POST", "/session", wanted)["sessionId"]

    def open(self, url):
        self._call("POST", self._session + "/url", {"url": url})

    def reload(self):
        self._call("POST", self._session + "/refresh", {})

    def run(self, script):
        """The value of a script with `return`."""
        return self._call("POST", self._session + "/execute/sync", {"script": script, "args": []})

    def screenshot(self, path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(self._call("GET", self._session + "/screenshot")))

    def close(self):
        if self._session:
            self._call("DELETE", self._session)
        self._driver.terminate()
        self._driver.wait()

    def _listening(self):
        with contextlib.suppress(OSError):
            return self._call("GET", "/status")["ready"]
        return False

    def _call(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE)
        with contextlib.closing(connection):
            connection.request(method, path, json.dumps(body) if body is not None else None)
            answer = json.loads(connection.getresponse().read())
        assert not (isinstance(answer["value"], dict) and "error" in answer["value"]), answer["value"]
        return answer["value"]


@pytest.fixture
def browser(programs, tmp_path):
    found = Browser(*programs, tmp_path)
    yield found
    found.close()


@pytest.fixture
def node(sdk):
    """Run the SDK in Node.js; gives what it printed, or the process with `wait=False`."""
    if not shutil.which("node"):
        absent("node is needed")

    def run(line, host, path, rounds, *, wait=True):
        script = HERE / "clients" / "node.cjs"
        command = ["node", str(script), str(sdk[line]), line, host, path, KEY, str(rounds)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        return json.loads(process.communicate(timeout=120)[0]) if wait else process

    return run


@pytest.fixture(name="until")
def _until():
    return until


@pytest.fixture
def key():
    return KEY


@pytest.fixture(scope="session")
def artefacts():
    """Where pictures of a run are kept."""
    return CACHE / "artefacts"
