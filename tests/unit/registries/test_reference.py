from __future__ import annotations

import pytest

from registries.digest import Digest
from registries.errors import UsageError
from registries.reference import Reference, check_repository, check_tag, is_tag

HEX = "a" * 64
DIGEST = f"sha256:{HEX}"


@pytest.mark.parametrize(
    ("text", "registry", "repository", "tag", "digest"),
    [
        ("registry.test/app:1.0", "registry.test", "app", "1.0", None),
        ("registry.test/team/app", "registry.test", "team/app", None, None),
        ("localhost/app:v1", "localhost", "app", "v1", None),
        ("localhost:5000/app:v1", "localhost:5000", "app", "v1", None),
        ("127.0.0.1:5000/a/b/c:v1", "127.0.0.1:5000", "a/b/c", "v1", None),
        ("[::1]:5000/app:v1", "[::1]:5000", "app", "v1", None),
        ("[2001:db8::1]/app", "[2001:db8::1]", "app", None, None),
        (f"registry.test/app@{DIGEST}", "registry.test", "app", None, DIGEST),
        (f"registry.test:443/app:1.0@{DIGEST}", "registry.test:443", "app", "1.0", DIGEST),
        ("registry.test/a__b.c-d--e/f_g:_x", "registry.test", "a__b.c-d--e/f_g", "_x", None),
        (f"registry.test/{'a' * 255}", "registry.test", "a" * 255, None, None),
        (f"registry.test/app:{'t' * 128}", "registry.test", "app", "t" * 128, None),
        ("Registry.Test/app", "Registry.Test", "app", None, None),
    ],
)
def test_a_reference_is_read_and_written_alike(
    text: str, registry: str, repository: str, tag: str | None, digest: str | None
) -> None:
    reference = Reference.parse(text)
    assert (reference.registry, reference.repository, reference.tag) == (registry, repository, tag)
    assert reference.digest == (Digest.parse(digest) if digest else None)
    assert str(reference) == text


BAD = [
    "",
    "/",
    ":",
    "@",
    "app",
    "app:1.0",
    "library/app:1.0",
    "registry.test",
    "registry.test/",
    "registry.test//app",
    "/registry.test/app",
    "registry.test/app/",
    "registry.test/app:",
    "registry.test/app@",
    f"registry.test/app@{DIGEST}:1.0",
    f"registry.test:5000/repo@{DIGEST}:tag",
    f"registry.test/app@{DIGEST}@{DIGEST}",
    "registry.test/app@sha256:abc",
    f"registry.test/app@sha256:{'A' * 64}",
    f"registry.test/app@md5:{'a' * 32}",
    f"registry.test/app@{DIGEST}\n",
    "registry.test/App:1.0",
    "registry.test/a/../b:1.0",
    "registry.test/..",
    "registry.test/./app",
    "registry.test/%2e%2e/app",
    "registry.test/app%00",
    "registry.test/app\x00",
    "registry.test/app:1.0\n",
    "registry.test/app\n:1.0",
    " registry.test/app:1.0",
    "registry.test /app:1.0",
    "registry.test/a b:1.0",
    "registry.test/app:-1",
    "registry.test/app:.1",
    "registry.test/app:1:2",
    "registry.test/app:é",
    f"registry.test/app:{'t' * 129}",
    f"registry.test/{'a' * 256}:1.0",
    "registry.test/a___b:1.0",
    "registry.test/-app:1.0",
    "registry.test/app-:1.0",
    "registry.test:/app:1.0",
    "registry.test:0/app:1.0",
    "registry.test:65536/app:1.0",
    "registry.test:5000:5000/app",
    "registry.test:-1/app",
    "registry.test:\u0665\u0660\u0660\u0660/app",
    "regístry.test/app",
    "r\u0435gistry.test/app",  # a Cyrillic letter
    "-registry.test/app",
    "registry..test/app",
    "::1/app:1.0",
    "[::1/app:1.0",
    "[::1]x/app",
    "[registry.test]/app",
    "https://registry.test/app:1.0",
    "user:secret@registry.test/app:1.0",
    "registry.test\\app/x:1.0",
    "registry.test/app?x=1",
    "registry.test/app#x",
    "docker:app/x",
]


@pytest.mark.parametrize("text", BAD)
def test_t060_what_names_no_image_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as error:
        Reference.parse(text)
    assert error.value.code == "reference-malformed"


def test_a_host_without_dot_and_port_is_told_how_to_be_written() -> None:
    with pytest.raises(UsageError, match="no dot and no port"):
        Reference.parse("library/app:1.0")


@pytest.mark.parametrize("name", ["", "/", "a//b", "..", "a/..", "_a", "a_", "A", "a\n", "a" * 256])
def test_what_is_no_repository_is_refused(name: str) -> None:
    with pytest.raises(UsageError) as error:
        check_repository(name, name)
    assert error.value.code == "reference-malformed"


@pytest.mark.parametrize("tag", ["", "-a", "a/b", "a:b", "a\n", "a" * 129, "..", "a@b"])
def test_what_is_no_tag_is_refused(tag: str) -> None:
    assert not is_tag(tag)
    with pytest.raises(UsageError) as error:
        check_tag(tag, tag)
    assert error.value.code == "reference-malformed"


@pytest.mark.parametrize("tag", ["a", "_", "1.0", "V1-x_y.z", "a" * 128, f"sha256-{HEX}.att"])
def test_what_is_a_tag_passes(tag: str) -> None:
    assert is_tag(tag)
    assert check_tag(tag, tag) == tag
