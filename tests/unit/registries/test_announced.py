from __future__ import annotations

from registries.announced import announced_as, announcements, unlisted
from registries.digest import Digest
from registries.kinds.http import referrers_tag
from registries.reference import is_tag

LIST = referrers_tag(Digest.of(b"subject", "sha512"))
DIGESTS = tuple(sorted((Digest.of(bytes([number])) for number in range(9)), key=lambda digest: digest.hex))


def entry(digest: Digest) -> dict[str, str]:
    return {"digest": str(digest)}


def test_every_entry_is_announced_once_in_tags_that_a_registry_takes() -> None:
    announced = announced_as(LIST, {digest: entry(digest) for digest in DIGESTS})
    assert [len(entries) for entries in announced.values()] == [4, 4, 1]
    assert [each for entries in announced.values() for each in entries] == [entry(digest) for digest in DIGESTS]
    assert all(is_tag(tag) for tag in announced)
    assert announced == announced_as(LIST, {digest: entry(digest) for digest in reversed(DIGESTS)})


def test_only_tags_of_this_list_and_form_are_announcements() -> None:
    (tag,) = announced_as(LIST, {DIGESTS[0]: None})
    other = referrers_tag(Digest.of(b"other"))
    foreign = [LIST, f"{LIST}.sig", f"{LIST}.{'a' * 11}", f"{LIST}.{'g' * 12}", f"{LIST}.{'a' * 60}", "latest"]
    assert announcements([*foreign, tag, tag.replace(LIST, other)], LIST) == (tag,)


def test_an_announcement_of_which_one_entry_is_missing_is_unlisted() -> None:
    (whole,) = announced_as(LIST, dict.fromkeys(DIGESTS[:3]))
    (single,) = announced_as(LIST, {DIGESTS[1]: None})
    present = [entry(digest) for digest in DIGESTS[:3]]
    assert unlisted([whole, single], [*present, "no entry", {"digest": 3}]) == ()
    for gone in range(3):
        rest = [entry for number, entry in enumerate(present) if number != gone]
        assert unlisted([whole, single], rest) == ((whole, single) if gone == 1 else (whole,))
