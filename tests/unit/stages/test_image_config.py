from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from stages.gate import Outcome, Verdict
from stages.gates.image_config import ImageConfig, User
from tests.evidence import AMD64, ARM64, evidence


def judged(gate: ImageConfig, *configs: Any) -> Verdict:
    """What the gate says of an image whose platforms have these configurations; None: it could not be read."""
    platforms = (AMD64, ARM64)[: len(configs)]
    read = {
        platform.config: config if isinstance(config, bytes) else json.dumps({"config": config}).encode()
        for platform, config in zip(platforms, configs, strict=True)
        if config is not None
    }
    return gate.judge(replace(evidence(platforms=platforms), configs=read))


def codes(verdict: Verdict) -> list[str]:
    return [reason.code for reason in verdict.reasons]


@pytest.mark.parametrize(
    ("user", "numeric", "non_root"),
    [
        ("10001", True, True),
        ("1:0", True, True),
        ("app", False, True),
        ("app:app", False, True),
        ("", False, False),
        (None, False, False),
        ("0", False, False),
        ("00", False, False),
        ("0:1000", False, False),
        ("root", False, False),
        ("root:app", False, False),
        (":1000", False, False),
        ("-1", False, False),
        ("0x0", False, False),
        ("Root", False, False),
        (" 1", False, False),
        ("99999999999", False, False),
    ],
)
def test_an_image_may_not_run_as_root(user: str | None, *, numeric: bool, non_root: bool) -> None:
    for gate, allowed in ((ImageConfig(), numeric), (ImageConfig(user=User.NON_ROOT), non_root)):
        verdict = judged(gate, {"User": user})
        assert codes(verdict) == ([] if allowed else ["config-refused"])
        assert verdict.outcome is (Outcome.PASSED if allowed else Outcome.BLOCKED)
    assert judged(ImageConfig(user=User.ANY), {"User": user}).outcome is Outcome.PASSED


@pytest.mark.parametrize(
    ("variable", "secret"),
    [
        ("PATH=/usr/bin", False),
        ("DB_PASSWORD=hunter2", True),
        ("DB_PASSWORD=", False),
        ("TOKENIZER=fast", False),
        ("api_key=x", True),
        ("AWS_ACCESS_KEY_ID=x", True),
        ("NOTE=AKIAABCDEFGHIJKLMNOP", True),
        ("URL=postgres://app:hunter2@db/app", True),
        ("URL=https://db/app", False),
        ("KEY=-----BEGIN EC PRIVATE KEY-----", True),
    ],
)
def test_a_secret_in_the_environment_is_refused_by_name_and_by_form(variable: str, *, secret: bool) -> None:
    verdict = judged(ImageConfig(user=User.ANY), {"Env": [variable]})
    assert codes(verdict) == (["config-refused"] if secret else [])
    assert "hunter2" not in str(verdict.reasons)
    name = variable.partition("=")[0]
    assert judged(ImageConfig(user=User.ANY, env=(name,)), {"Env": [variable]}).outcome is Outcome.PASSED


@pytest.mark.parametrize(
    ("gate", "config", "allowed"),
    [
        (ImageConfig(user=User.ANY, entrypoint=("/app", "serve")), {"Entrypoint": ["/app"], "Cmd": ["serve"]}, True),
        (ImageConfig(user=User.ANY, entrypoint=("/app",)), {"Entrypoint": ["/bin/sh", "-c", "/app"]}, False),
        (ImageConfig(user=User.ANY, entrypoint=("/app",)), {}, False),
        (ImageConfig(user=User.ANY, ports=("8080/tcp",)), {"ExposedPorts": {"8080/tcp": {}}}, True),
        (ImageConfig(user=User.ANY, ports=("8080/tcp",)), {"ExposedPorts": {"22/tcp": {}}}, False),
        (ImageConfig(user=User.ANY, ports=()), {}, True),
        (ImageConfig(user=User.ANY, labels=("team",)), {"Labels": {"team": "shop"}}, True),
        (ImageConfig(user=User.ANY, labels=("team",)), {"Labels": {"team": ""}}, False),
        (ImageConfig(user=User.ANY, labels=("team",)), {}, False),
    ],
)
def test_what_is_started_exposed_and_labelled_is_what_the_definition_says(
    gate: ImageConfig, config: dict[str, Any], *, allowed: bool
) -> None:
    assert codes(judged(gate, config)) == ([] if allowed else ["config-refused"])


def test_every_platform_is_looked_at() -> None:
    verdict = judged(ImageConfig(), {"User": "1"}, {"User": "0"})
    (reason,) = verdict.reasons
    assert str(ARM64.manifest) in reason.where
    assert verdict.counts == (("platforms", 2),)


@pytest.mark.parametrize(
    ("config", "code"),
    [
        (None, "attestation-missing"),
        (b"no JSON", "json-malformed"),
        (b'{"config": {"User": "1", "User": "0"}}', "json-ambiguous"),
        (b'{"config": {"User": 1}}', "evidence-malformed"),
        (b'{"config": {"Env": {}}}', "evidence-malformed"),
        (b'{"config": []}', "evidence-malformed"),
        (b'{"config": {"User": "1", "Labels": []}}', "evidence-malformed"),
    ],
)
def test_a_configuration_that_can_not_be_read_is_not_checked(config: bytes | None, code: str) -> None:
    verdict = judged(ImageConfig(labels=("team",)), config)
    assert (verdict.outcome, codes(verdict)[:1]) == (Outcome.NOT_CHECKED, [code])


def test_an_image_without_a_platform_is_not_checked() -> None:
    verdict = ImageConfig().judge(evidence(platforms=()))
    assert (verdict.outcome, codes(verdict)) == (Outcome.NOT_CHECKED, ["evidence-empty"])
