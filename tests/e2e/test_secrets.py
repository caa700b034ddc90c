"""A passphrase opens a key, and neither it nor a registry's password is ever shown, whatever goes wrong."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from tests.e2e.shop import CANARY, Shop, initialized
from tests.faults import FaultRegistry, Reply, Seen, status

# Every run of `Shop.run` looks for the canary in what was printed.


@pytest.mark.parametrize("variable", ["SAMEBITS_KEY_PASSPHRASE", "COSIGN_PASSWORD"])
def test_an_encrypted_key_signs_with_its_passphrase(shop: Shop, tmp_path: Path, variable: str) -> None:
    twin = _encrypted(shop, tmp_path)
    version = f"e1-{variable[0]}"
    twin.built(version)

    ended = twin.run("promote", "build", f"oci:image:{version}", "-v", key="ci-build", env={variable: CANARY})

    assert ended.code == 0, ended.stderr


@pytest.mark.parametrize(
    ("environment", "code"),
    [
        ({}, "key-passphrase-missing"),
        ({"SAMEBITS_KEY_PASSPHRASE": f"{CANARY}-too-long"}, "key-passphrase-wrong"),
        ({"SAMEBITS_KEY_PASSPHRASE": "wrong", "COSIGN_PASSWORD": CANARY}, "key-passphrase-wrong"),
    ],
)
def test_an_encrypted_key_without_its_passphrase_signs_nothing(
    shop: Shop, tmp_path: Path, environment: dict[str, str], code: str
) -> None:
    twin = _encrypted(shop, tmp_path)
    twin.built("e2")

    ended = twin.run("promote", "build", "oci:image:e2", key="ci-build", env=environment)

    assert (ended.code, ended.reasons) == (4, [code])


def test_a_registry_that_repeats_what_it_was_sent_does_not_make_us_show_it(tmp_path: Path) -> None:
    def repeat(seen: Seen, _: object) -> Reply:
        told = json.dumps(dict(seen.headers)) + base64.b64decode(seen.headers["authorization"].split()[1]).decode()
        return Reply(status=403, body=json.dumps({"errors": [{"code": "DENIED", "message": told}]}).encode())

    with FaultRegistry(login=("shop", CANARY)) as registry:
        shop = _with_login(tmp_path, registry.host)
        registry.rule("POST|PUT|PATCH", "", repeat)
        ended = shop.run("promote", "build", "oci:image:1.0", "-v", "-o", "json", key="ci-build")

    assert (ended.code, ended.reasons) == (4, ["access-denied"])
    assert base64.b64encode(f"shop:{CANARY}".encode()).decode() not in ended.stdout + ended.stderr


@pytest.mark.parametrize("bearer", [False, True], ids=["basic", "token"])
def test_the_password_of_a_registry_works_and_is_not_shown(tmp_path: Path, *, bearer: bool) -> None:
    with FaultRegistry(login=("shop", CANARY), bearer=bearer) as registry:
        shop = _with_login(tmp_path, registry.host)
        assert shop.run("promote", "build", "oci:image:1.0", "-v", key="ci-build").code == 0
        assert shop.run("verify", "build", "1.0", "-v").code == 0


@pytest.mark.parametrize("bearer", [False, True], ids=["basic", "token"])
def test_a_password_that_is_refused_is_not_shown(tmp_path: Path, *, bearer: bool) -> None:
    with FaultRegistry(login=("shop", "another"), bearer=bearer) as registry:
        shop = _with_login(tmp_path, registry.host)
        commands = (
            ("promote", "build", "oci:image:1.0", "--key", "keys/ci-build.key"),
            ("step", "build", "unit", "1.0", "--key", "keys/ci-build.key"),
            ("audit", "1.0"),
        )
        ended = [shop.run(*command, "-v", "-o", "json") for command in commands]

    assert [(end.code, end.reasons) for end in ended] == [(4, ["credentials-refused"])] * len(commands)


@pytest.mark.parametrize("code", [403, 302, 204])
def test_no_answer_of_a_registry_shows_the_password(tmp_path: Path, code: int) -> None:
    with FaultRegistry(login=("shop", CANARY)) as registry:
        shop = _with_login(tmp_path, registry.host)
        registry.rule("POST", "/uploads/", status(code, {"Location": f"http://shop:{CANARY}@127.0.0.1:1/"}))
        ended = shop.run("promote", "build", "oci:image:1.0", "-v", "-o", "json", key="ci-build")

    assert ended.code in {4, 5, 7}
    assert ended.result["reasons"]


def test_a_broken_credentials_file_is_not_quoted(tmp_path: Path) -> None:
    with FaultRegistry(login=("shop", CANARY)) as registry:
        shop = _with_login(tmp_path, registry.host)
        for content in (f'{{"auths": {{"{registry.host}": {{"auth": "{CANARY}"}}}}}}', f'{{"auths": "{CANARY}", '):
            (tmp_path / "docker/config.json").write_text(content)
            ended = shop.run("verify", "build", "1.0", "-v")
            assert (ended.code, ended.reasons) == (4, ["credentials-malformed"])


def _encrypted(shop: Shop, folder: Path) -> Shop:
    """A twin of the shop whose key of ci-build is encrypted with the canary."""
    twin = shop.twin(folder)
    path = folder / "keys/ci-build.key"
    key = load_pem_private_key(path.read_bytes(), None)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(CANARY.encode())))
    return twin


def _with_login(folder: Path, host: str) -> Shop:
    """A new shop at one registry, where `docker login` has stored the canary as the password."""
    made = initialized(folder, host, host)
    made.built("1.0")
    auth = base64.b64encode(f"shop:{CANARY}".encode()).decode()
    made.write("docker/config.json", json.dumps({"auths": {host: {"auth": auth}}}))
    return Shop(folder, host, host, {"DOCKER_CONFIG": str(folder / "docker")})
