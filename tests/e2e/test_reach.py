"""The options about how registries are reached, from the command line to the wire."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.e2e.shop import Shop, initialized
from tests.faults import FaultRegistry, redirect, silence


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (("--deadline", "soon"), "usage"),
        (("--deadline", "0s"), "usage"),
        (("--rate", "0"), "usage"),
        (("--registry-ca", "registry.test"), "usage"),
        (("--registry-ca", "registry.test=/does/not/exist.pem"), "authorities-missing"),
    ],
)
def test_what_can_not_be_meant_is_a_usage_error(shop: Shop, options: tuple[str, ...], code: str) -> None:
    ended = shop.run("verify", "build", "ready", *options)

    assert (ended.code, ended.reasons) == (2, [code])


def test_options_are_taken_from_the_environment_too(shop: Shop, tmp_path: Path) -> None:
    variables = {
        "SAMEBITS_DEADLINE": "5m",
        "SAMEBITS_RATE": "500",
        "SAMEBITS_ALLOW_HOST": "minio.lan:9000 gitlab.lan",
        "SAMEBITS_REGISTRY_CA": f"registry.test={tmp_path}",
    }
    ended = shop.run("verify", "build", "ready", env=variables)
    assert ended.code == 0, ended.stderr
    assert shop.run("verify", "build", "ready", env={"SAMEBITS_RATE": "-1"}).reasons == ["usage"]


def test_a_run_ends_at_its_deadline(tmp_path: Path) -> None:
    with FaultRegistry() as registry, FaultRegistry() as production:
        registry.rule("GET", "", silence())
        shop = initialized(tmp_path / "shop", registry.host, production.host)
        shop.built("1.0")
        began = time.monotonic()
        ended = shop.run("promote", "build", "oci:image:1.0", "--deadline", "2s", key="ci-build")
    assert (ended.code, set(ended.reasons)) == (7, {"deadline-exceeded"})
    assert time.monotonic() - began < 25  # and not 30 s for each request
    assert "--deadline" in ended.stderr


@pytest.mark.parametrize("allowed", [False, True])
def test_a_host_inside_the_network_is_asked_only_when_it_is_allowed(tmp_path: Path, *, allowed: bool) -> None:
    with FaultRegistry() as registry, FaultRegistry() as production:
        registry.rule("GET", "/manifests/", redirect("https://127.0.0.2:1/"))
        shop = initialized(tmp_path / "shop", registry.host, production.host)
        ended = shop.run("verify", "build", "1.0", *(["--allow-host", "127.0.0.2:1"] if allowed else []))
    assert ended.reasons == ["registry-unavailable" if allowed else "address-not-allowed"]
