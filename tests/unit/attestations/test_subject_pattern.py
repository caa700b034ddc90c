"""A pattern means the tags or branches of one workflow, and can't be stretched to anything else (T035 to T040)."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attestations.errors import AttestationError
from attestations.subject_pattern import SubjectPattern

WORKFLOW = "https://github.com/acme/shop/.github/workflows/release.yml"
TAGS = SubjectPattern.parse(f"{WORKFLOW}@refs/tags/v*")
RELEASES = SubjectPattern.parse(f"{WORKFLOW}@refs/heads/release/*")


@pytest.mark.parametrize("tag", ["v1", "v1.2.3", "v1.2.3-rc.1", "v_", "v-"])
def test_every_tag_of_the_kind_is_meant(tag: str) -> None:
    assert TAGS.matches(f"{WORKFLOW}@refs/tags/{tag}")


@pytest.mark.parametrize(
    "subject",
    [
        f"{WORKFLOW}@refs/tags/v",
        f"{WORKFLOW}@refs/tags/1.2.3",
        f"{WORKFLOW}@refs/tags/v1/x",
        f"{WORKFLOW}@refs/tags/v1@refs/heads/main",
        f"{WORKFLOW}@refs/tags/v1:x",
        f"{WORKFLOW}@refs/tags/v1\n",
        f"{WORKFLOW}@refs/tags/v1 ",
        f"{WORKFLOW}@refs/tags/vé",
        f"{WORKFLOW}@refs/heads/v1",
        f"x{WORKFLOW}@refs/tags/v1",
        WORKFLOW.replace("acme/shop", "evil/shop") + "@refs/tags/v1",
        WORKFLOW.replace("github.com", "githubXcom") + "@refs/tags/v1",
        WORKFLOW.replace("github.com/", "github.com.evil.example/") + "@refs/tags/v1",
        "",
    ],
)
def test_t037_nothing_else_is_meant(subject: str) -> None:
    assert not TAGS.matches(subject)


def test_a_star_is_one_name_of_a_branch() -> None:
    assert RELEASES.matches(f"{WORKFLOW}@refs/heads/release/1.4")
    assert not RELEASES.matches(f"{WORKFLOW}@refs/heads/release/1.4/x")
    assert (TAGS.is_of_tags, RELEASES.is_of_tags) == (True, False)


@pytest.mark.parametrize(
    "text",
    [
        f"{WORKFLOW}@refs/heads/*",
        f"{WORKFLOW}@refs/heads/main",
        f"{WORKFLOW}@refs/tags/.*",
        f"{WORKFLOW}@refs/heads/.+",
        f"^{WORKFLOW}@refs/tags/v*",
        f"{WORKFLOW}@refs/tags/v[0-9]*",
        f"{WORKFLOW}@refs/tags/**",
        f"{WORKFLOW}@refs/tags/a*b*c*",
        f"{WORKFLOW}@refs/pull/*/merge",
        f"{WORKFLOW}@*",
        f"{WORKFLOW}*",
        "https://github.com/acme/*/.github/workflows/release.yml@refs/tags/v*",
        "https://github.com/*/shop/.github/workflows/release.yml@refs/tags/v*",
        "https://*/acme/shop/.github/workflows/release.yml@refs/tags/v*",
        "https://github.com/acme/shop/.github/workflows/*.yml@refs/tags/v*",
        "http://github.com/acme/shop/.github/workflows/release.yml@refs/tags/v*",
        "*@acme.example",
        "*",
        "",
    ],
)
def test_t038_a_pattern_that_is_too_wide_or_another_language_is_refused(text: str) -> None:
    with pytest.raises(AttestationError) as error:
        SubjectPattern.parse(text)
    assert error.value.code == "policy-too-wide"


@given(st.text(alphabet="ab.-_/@:*é\n", max_size=12))
def test_what_is_matched_differs_in_the_stars_alone(middle: str) -> None:
    matched = TAGS.matches(f"{WORKFLOW}@refs/tags/v{middle}")
    assert matched == (re.fullmatch("[A-Za-z0-9._-]+", middle, re.ASCII) is not None)
