"""`bridge token` makes credentials that the intake takes, and says of any whether it would."""

from __future__ import annotations

import re
import tomllib

import jwt
import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from bridge.cli.token import command
from bridge.configuration.intake import HttpIntakeSettings
from bridge.errors import BridgeError
from bridge.intake.auth import Gate, digest

SECRET = "kong-secret-0123456789abcdef0123"
HEAD = """
[sinks.archive]
type = "s3"
url = "memory:///"
"""
KONG = f"""
[intake.http.issuers.kong]
iss = "consumer"
secret = "{SECRET}"
channels = ["in.state"]
"""


@pytest.fixture
def bridge(tmp_path):
    """Run `bridge token …` with a configuration; returns the exit code and what was printed."""

    def run(*arguments, config="", stdin=None):
        path = tmp_path / "config.toml"
        path.write_text(HEAD + config)
        where = [] if arguments[0] == "key" else ["--config", str(path)]
        result = CliRunner().invoke(command, [*arguments, *where], input=stdin, standalone_mode=False)
        if result.exception:
            raise result.exception
        return result.return_value or 0, result.output

    return run


def test_a_key_is_made_with_its_table(bridge):
    code, text = bridge("key", "portal", "--channel", "in.state", "--channel", "in.other")
    assert code == 0
    made = re.search(r"^    (\S{43})$", text, re.MULTILINE)[1]
    table = tomllib.loads(text[text.index("[intake") :])["intake"]["http"]
    assert table["keys"]["portal"] == {"sha256": digest(made), "channels": ["in.state", "in.other"]}
    sender = Gate(HttpIntakeSettings.model_validate(table)).sender({"x-api-key": made}, 0)
    assert (sender.name, sender.channels) == ("portal", {"in.state", "in.other"})


def test_no_two_keys_are_alike(bridge):
    assert bridge("key", "a")[1] != bridge("key", "a")[1]


def test_a_key_needs_a_plain_name(bridge):
    with pytest.raises(Exception, match="begins with a letter"):
        bridge("key", "a.b")


def test_a_token_is_made_and_taken(bridge):
    code, made = bridge("make", "kong", "--subject", "device-1", "--lasting", "12h", config=KONG)
    assert code == 0
    claims = jwt.decode(made.strip(), SECRET, ["HS256"])
    assert (claims["iss"], claims["sub"], claims["exp"] - claims["iat"]) == ("consumer", "device-1", 43_200)
    code, text = bridge("inspect", made.strip(), config=KONG)
    assert code == 0
    assert 'alg: "HS256"' in text
    assert re.search(r"exp: \d+  \(\d{4}-\d\d-\d\dT.*, in 1[12] h\)", text)
    assert "taken as kong/device-1, who may send in.state" in text
    assert bridge("inspect", "-", config=KONG, stdin=made)[0] == 0


def test_tokens_that_last_for_ever_have_to_be_allowed(bridge):
    with pytest.raises(Exception, match="have to expire"):
        bridge("make", "kong", "--lasting", "never", config=KONG)
    _, made = bridge("make", "kong", "--lasting", "never", config=KONG + "expiring = false\n")
    assert "exp" not in jwt.decode(made.strip(), SECRET, ["HS256"])


def test_a_token_is_made_with_a_private_key(bridge, tmp_path):
    private = ec.generate_private_key(ec.SECP256R1())
    (tmp_path / "private.pem").write_bytes(
        private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    (tmp_path / "public.pem").write_bytes(
        private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    config = """
[intake.http.issuers.idp]
iss = "https://idp.example"
algorithm = "ES256"
public_key = "file:public.pem"
audience = "telemetry"
"""
    given = ["make", "idp", "--private-key", str(tmp_path / "private.pem"), "--key-id", "2026"]
    _, made = bridge(*given, config=config)
    assert jwt.get_unverified_header(made.strip())["kid"] == "2026"
    code, text = bridge("inspect", made.strip(), config=config)
    assert (code, "taken as idp, who may send any channel" in text) == (0, True)
    with pytest.raises(Exception, match="needs --private-key"):
        bridge("make", "idp", config=config)
    with pytest.raises(BridgeError, match="no key for ES256"):
        bridge("make", "idp", "--private-key", str(tmp_path / "config.toml"), config=config)


@pytest.mark.parametrize(
    ("token", "config", "code", "told"),
    [
        ("unknown", KONG, 1, "refused: this API key is not known"),
        ("a.b.c", KONG, 1, "refused: this token is not good"),
        (jwt.encode({"iss": "other"}, SECRET), KONG, 1, "refused: this token's issuer is not known"),
        (jwt.encode({"iss": "consumer", "exp": 1}, SECRET), KONG, 1, "(1970-01-01T00:00:01Z"),
        ("anything", "", 0, "asks nobody"),
    ],
)
def test_a_credential_is_judged_as_the_intake_would(bridge, token, config, code, told):
    found, text = bridge("inspect", token, config=config)
    assert (found, told in text) == (code, True), text


def test_an_issuer_that_is_not_configured_is_told(bridge):
    with pytest.raises(Exception, match='did you mean "kong"'):
        bridge("make", "kongo", config=KONG)


def test_how_long_a_token_lasts_has_to_be_a_time(bridge):
    with pytest.raises(Exception, match="12h, 30d or never"):
        bridge("make", "kong", "--lasting", "soon", config=KONG)
