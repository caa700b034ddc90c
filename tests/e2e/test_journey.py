"""What `samebits init` writes takes an image from build to production, and every command says so in JSON."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from tests.e2e.shop import Shop, initialized

INIT = ("init", ".", "--registry", "registry.example", "--production", "registry.example")


def test_a_new_shop_promotes_from_build_to_production_at_once(shop: Shop) -> None:
    image = shop.built("1.0")
    unit, *scans = shop.reports(image, "1.0")

    entered = shop.run("promote", "build", "oci:image:1.0", "-o", "json", key="ci-build").result
    tested = shop.run("step", "build", "unit", "1.0", unit, "-o", "json", key="ci-build").result
    scanned = shop.run("step", "build", "scan", "1.0", *scans, "-o", "json", key="scanner").result
    admitted = shop.run("promote", "test", "1.0", "-o", "json", key="ci-promote").result
    integrated = shop.run("step", "test", "integration", "1.0", "-o", "json", key="ci-promote").result
    planned = shop.run("plan", "prod", "1.0", "-o", "json").result
    released = shop.run("promote", "prod", "1.0", "-o", "json", key="ci-promote").result
    again = shop.run("promote", "prod", "1.0", "-o", "json", key="ci-promote").result
    verified = shop.run("verify", "prod", "1.0", "-o", "json").result
    story = shop.run("audit", "1.0", "-o", "json").result

    assert {entered["image"], admitted["image"], released["image"], verified["image"]} == {str(image.digest)}
    assert (entered["verdict"], admitted["verdict"], released["verdict"]) == ("admitted",) * 3
    assert (tested["admission"], scanned["admission"]) == (entered["record"],) * 2
    assert tested["reports"][0]["summary"] == {"tests": 3, "failed": 0, "skipped": 0}
    assert (integrated["exitCode"], integrated["admission"]) == (0, admitted["record"])
    assert planned["verdict"] == "would-be-admitted"
    assert planned["tags"] == [{"tag": f"{shop.production}/prod/shop-api:1.0", "from": None}]
    assert (again["verdict"], again["record"]) == ("already-admitted", released["record"])
    assert set(again["moved"].values()) == {0}
    assert [link["record"] for link in verified["chain"]] == [entered["record"], admitted["record"], released["record"]]
    assert [stage["standing"] for stage in story["stages"]] == ["admitted"] * 3
    assert story["rejected"] == []
    assert [story["stages"][0]["steps"][number]["record"] for number in (0, 1)] == [
        tested["record"],
        scanned["record"],
    ]


def test_private_keys_are_readable_by_their_owner_alone(shop: Shop) -> None:
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (shop.folder / "keys").glob("*.key")}

    assert modes == dict.fromkeys(("owner.key", "ci-build.key", "ci-promote.key", "scanner.key"), 0o600)


@pytest.mark.parametrize(
    "name", ["samebits.yaml", "trust.yaml", "samebits.yaml.sigstore.jsonl", "keys/ci-build.key", "keys/.gitignore"]
)
def test_init_overwrites_nothing(tmp_path: Path, name: str) -> None:
    shop = Shop(tmp_path, "", "")
    shop.write(name, "mine")

    ended = shop.run(*INIT)

    assert (ended.code, ended.reasons) == (2, ["file-exists"])
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / name]
    assert (tmp_path / name).read_text() == "mine"


def test_init_follows_no_link_that_lies_in_its_way(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    shop = Shop(tmp_path / "shop", "", "")
    shop.write("keys/other", "")
    (shop.folder / "keys/owner.key").symlink_to(elsewhere)

    assert shop.run(*INIT).reasons == ["file-exists"]
    assert not elsewhere.exists()


def test_the_commands_that_tell_facts_tell_them_as_json(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    shop = Shop(tmp_path, "", "")

    told = [
        shop.run(*INIT, "-o", "json").result,
        shop.run("definition", "check", "-o", "json").result,
        shop.run("definition", "show", "-o", "json").result,
        shop.run("definition", "sign", "-o", "json", key="owner").result,
        shop.run("explain", "predecessor-missing", "-o", "json").result,
    ]

    assert [result["command"] for result in told] == [
        "init",
        "definition check",
        "definition show",
        "definition sign",
        "explain",
    ]
    assert {"name": "exit code", "value": "5"} in told[-1]["facts"]


def test_a_definition_that_its_owner_signed_again_is_believed(tmp_path: Path) -> None:
    shop = initialized(tmp_path, "registry.example", "registry.example")

    assert shop.run("definition", "sign", key="owner").code == 0
    assert shop.run("definition", "show").code == 0
    assert not list(tmp_path.glob(".samebits*"))


def test_only_an_owner_signs_the_definition(tmp_path: Path) -> None:
    shop = initialized(tmp_path, "registry.example", "registry.example")
    before = (tmp_path / "samebits.yaml.sigstore.jsonl").read_bytes()

    assert shop.run("definition", "sign", key="ci-build").reasons == ["signer-not-for-stage"]
    assert (tmp_path / "samebits.yaml.sigstore.jsonl").read_bytes() == before


def test_stdout_carries_the_result_alone_and_messages_go_to_stderr(shop: Shop) -> None:
    shop.built("1.1")

    ended = shop.run("promote", "build", "oci:image:1.1", "-v", "-o", "json", key="ci-build")

    assert ended.result["verdict"] == "admitted"
    assert "gathering what is known" in ended.stderr
    assert "copied sha256:" in ended.stderr


def test_quiet_leaves_the_result_and_nothing_else(shop: Shop) -> None:
    shop.built("1.2")

    ended = shop.run("promote", "build", "oci:image:1.2", "-q", key="ci-build")

    assert ended.stdout.startswith("admitted to build: sha256:")
    assert ended.stderr == ""


def test_quiet_still_says_why_it_was_refused(shop: Shop) -> None:
    ended = shop.run("verify", "prod", "never", "-q")

    assert (ended.stdout, ended.reasons) == ("", ["image-not-found"])


def test_one_run_gives_several_formats(shop: Shop, tmp_path: Path) -> None:
    image = shop.workshop.in_build("1.3")
    file = tmp_path / "audit.json"

    ended = shop.run("audit", str(image.digest), "-o", f"json={file}", "-o", "text")

    assert ended.stdout.startswith(f"shop-api {image.digest}\n")
    assert json.loads(file.read_bytes())["image"] == str(image.digest)
