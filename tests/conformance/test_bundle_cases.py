"""The cases that the conformance suite of Sigstore clients has for verifying, made anew, through the command itself.

Source: sigstore/sigstore-conformance, `test/assets/bundle-verify`, `docs/cli_protocol.md`. A name that ends in `_fail`
must not verify; here each also has the reason why it does not. None of the suite's own files is used.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from attestations.envelope import PAYLOAD_TYPE, pae, to_base64
from pipeline.cli import run
from registries.digest import Digest
from tests.sigstore import (
    BUNDLE_V01,
    BUNDLE_V02,
    BUNDLE_V03,
    IDENTITY,
    ISSUER,
    START,
    CertificateAuthority,
    CertificateLog,
    Sigstore,
    TimestampAuthority,
    as_bytes,
    authority_entry,
    der,
    log_body,
    new_ec,
    note_line,
    pem,
    raw_sign,
    spki,
    tree_hash,
)

FILE = b"a.txt of this test\n"
Made = tuple[Any, dict[str, Any]]
Case = Callable[[Sigstore], Made]

V1, V2, DSSE, INTOTO = "hashedrekord 0.0.1", "hashedrekord 0.0.2", "dsse 0.0.1", "intoto 0.0.2"


def statement(about: bytes = FILE, **changes: Any) -> bytes:
    value = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "a.txt", "digest": {"sha256": Digest.of(about).hex}}],
        "predicateType": "https://example.com/test",
        "predicate": {},
    }
    return json.dumps({name: item for name, item in (value | changes).items() if item is not None}).encode()


def file(world: Sigstore, form: str = V1, **options: Any) -> dict[str, Any]:
    return world.sign(FILE, form=form, as_file=True, **options)


def entry(bundle: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = bundle["verificationMaterial"]["tlogEntries"][0]
    return found


def signature(bundle: dict[str, Any]) -> bytes:
    content = bundle.get("messageSignature") or {"signature": bundle["dsseEnvelope"]["signatures"][0]["sig"]}
    return base64.b64decode(content["signature"])


def stamps(bundle: dict[str, Any], *tokens: bytes) -> dict[str, Any]:
    listed = [{"signedTimestamp": to_base64(token)} for token in tokens]
    bundle["verificationMaterial"]["timestampVerificationData"] = {"rfc3161Timestamps": listed}
    return bundle


def bent(bundle: dict[str, Any], *path: str, value: Any) -> dict[str, Any]:
    inner = bundle
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    return bundle


def in_entry(bundle: dict[str, Any], *path: str, value: Any) -> dict[str, Any]:
    bent(entry(bundle), *path, value=value)
    return bundle


def checkpoint(world: Sigstore, change: Callable[[str], str], form: str = V2) -> Made:
    bundle = file(world, form)
    note = entry(bundle)["inclusionProof"]["checkpoint"]
    note["envelope"] = change(note["envelope"])
    return bundle, {}


def renoted(world: Sigstore, *lines: str) -> Made:
    """A checkpoint of other lines, which its log has signed."""
    bundle = file(world, V2)
    text = "".join(f"{line}\n" for line in lines)
    return in_entry(bundle, "inclusionProof", "checkpoint", "envelope", value=world.log_v2.note(text)), {}


def key(world: Sigstore) -> dict[str, Any]:
    return {"key": pem("PUBLIC KEY", spki(world.signing_key))}


def swapped(world: Sigstore, form: str, **parts: Any) -> Made:
    """A bundle with the genuine entry of another signature."""
    as_file = not form.startswith(("dsse", "intoto"))
    mine = world.sign(FILE if as_file else statement(), form=form, as_file=as_file)
    other = parts.get("payload", b"another" if as_file else statement(b"another"))
    theirs = world.sign(other, form=form, as_file=as_file)
    mine["verificationMaterial"]["tlogEntries"] = theirs["verificationMaterial"]["tlogEntries"]
    return mine, {}


def other_signature(world: Sigstore, form: str, payload: bytes) -> Made:
    """A signature by another key over the same statement, where the logged one was."""
    bundle = world.sign(payload, form=form)
    made = raw_sign(new_ec(), pae(PAYLOAD_TYPE, payload))
    bundle["dsseEnvelope"]["signatures"] = [{"sig": to_base64(made)}]
    return bundle, {}


def again_signed(world: Sigstore, form: str) -> Made:
    """A second good signature by the same key, which the log has not seen."""
    bundle = world.sign(statement(), form=form)
    made = raw_sign(world.signing_key, pae(PAYLOAD_TYPE, statement()))
    bundle["dsseEnvelope"]["signatures"] = [{"sig": to_base64(made)}]
    if form == V2:
        stamps(bundle, world.tsa.stamp(made))
    return bundle, {}


def late_stamp(world: Sigstore, form: str, *, both: bool = False) -> Made:
    bundle = world.sign(statement(), form=form) if form == INTOTO else file(world, form)
    early = world.tsa.stamp(signature(bundle))
    world.pass_time(days=30)
    late = world.tsa.stamp(signature(bundle))
    return stamps(bundle, *((early, late) if both else (late,))), {}


def late_promise(world: Sigstore, form: str, **apart: float) -> Made:
    certificate = world.ca.certify(world.signing_key)
    world.pass_time(**apart)
    payload = statement() if form == INTOTO else FILE
    return world.sign(payload, form=form, certificate=certificate, as_file=form != INTOTO), {}


def chained(world: Sigstore, *more: bytes, empty: bool = False) -> Made:
    bundle = file(world, media_type=BUNDLE_V02)
    certificates = bundle["verificationMaterial"]["x509CertificateChain"]["certificates"]
    certificates[:] = [] if empty else [*certificates, *({"rawBytes": to_base64(one)} for one in more)]
    return bundle, {}


def untrusted_stamp(world: Sigstore, *, embed: bool) -> Made:
    foreign = TimestampAuthority(world.clock)
    bundle = file(world, V2)
    token = foreign.stamp(signature(bundle), embed=(foreign.certificate,) if embed else ())
    return stamps(bundle, token), {}


def embedded_stamp(world: Sigstore, *, embed: bool) -> Made:
    bundle = file(world, V2)
    return stamps(bundle, world.tsa.stamp(signature(bundle), embed=(world.tsa.certificate,) if embed else ())), {}


def outside_certificate(world: Sigstore) -> Made:
    world.tsa = TimestampAuthority(world.clock, end=START - timedelta(days=1))
    return file(world, V2), {}


def expired_authority(world: Sigstore) -> Made:
    """Certificates that were good when they were used are good for ever."""
    world.tsa = TimestampAuthority(world.clock, end=START)
    world.ca = CertificateAuthority(world.clock, logs=world.ca.logs, end=START, intermediate_end=START)
    return file(world, V2), {}


def rooted(world: Sigstore, bundle: dict[str, Any], **lists: Any) -> Made:
    return bundle, {"root": world.root(**lists)}


def duplicate_intermediate(world: Sigstore) -> Made:
    decoy = CertificateAuthority(world.clock)
    listed = authority_entry("https://decoy.test", [decoy.root], decoy.start, None)
    return rooted(world, file(world), certificateAuthorities=[decoy.entry(), listed, world.ca.entry()])


def no_start(world: Sigstore) -> Made:
    log = world.log.entry()
    del log["publicKey"]["validFor"]["start"]
    return rooted(world, file(world), tlogs=[log])


def borrowed(world: Sigstore) -> Made:
    past = world.tsa.entry(end=START - timedelta(days=1))
    empty = authority_entry("https://unrelated.test", [], START - timedelta(days=9), None)
    return rooted(world, file(world, V2), timestampAuthorities=[past, empty])


def wrong_ct_key(world: Sigstore) -> Made:
    listed = world.ca.logs[0].entry()
    listed["publicKey"]["rawBytes"] = to_base64(spki(new_ec()))
    return rooted(world, file(world), ctlogs=[listed])


def sct_extensions(world: Sigstore) -> Made:
    certificate = world.ca.certify(world.signing_key, sct_extensions=b"\0\0\0\0\7leaf 7")
    return file(world, certificate=certificate), {}


def unlogged_key(world: Sigstore) -> Made:
    empty = {"mediaType": world.root()["mediaType"]}
    bundle = file(world, "", keyed=True, stamps=0)
    del bundle["verificationMaterial"]["timestampVerificationData"]
    return bundle, {**key(world), "root": empty}


def witnessed(world: Sigstore, *, first: bool, twice: bool = False) -> Made:
    line = note_line("witness.test", b"wit1", b"\4" + b"\0" * 71)
    own = note_line(world.log_v2.name, b"new1", b"by a newer key of the log")

    def change(note: str) -> str:
        text, _, signed = note.partition("\n\n")
        mine = signed + own if twice else signed
        return f"{text}\n\n{line + line + mine if first else mine + line}"

    return checkpoint(world, change)


def swapped_v2(world: Sigstore) -> Made:
    """The envelope of one statement with the material of another, but for its time stamp."""
    certificate = world.ca.certify(world.signing_key)
    mine = world.sign(statement(), certificate=certificate)
    theirs = world.sign(statement(b"another"), certificate=certificate)
    mine["verificationMaterial"]["tlogEntries"] = theirs["verificationMaterial"]["tlogEntries"]
    return mine, {}


def other_keys_entry(world: Sigstore) -> Made:
    """The entry names another key than the one that signed."""
    bundle = file(world)
    other = new_ec()
    body = log_body(
        V1,
        FILE,
        signed=FILE,
        signature=signature(bundle),
        certificate=world.ca.certify(other),
        key=other,
    )
    bundle["verificationMaterial"]["tlogEntries"] = [world.log.append(body)]
    return bundle, {}


CASES: dict[str, tuple[str | None, Case]] = {
    # what verifies
    "happy-path-v0.1": (None, lambda w: (file(w, media_type=BUNDLE_V01), {})),
    "happy-path-v0.2": (None, lambda w: (file(w, media_type=BUNDLE_V02), {})),
    "happy-path-v0.3": (None, lambda w: (bent(file(w), "mediaType", value=BUNDLE_V02.replace("0.2", "0.3")), {})),
    "happy-path-v0.3-new-mediaType": (None, lambda w: (file(w, media_type=BUNDLE_V03), {})),
    "happy-path-intoto-in-dsse-v3": (None, lambda w: (w.sign(statement(), form=DSSE), {})),
    "bundle-with-sct-with-extensions": (None, sct_extensions),
    "dsse-with-hashedrekord-happy-path": (None, lambda w: (w.sign(statement(), form=V1), {})),
    "intoto-with-custom-trust-root": (None, lambda w: (w.sign(statement(), form=INTOTO, stamps=1), {})),
    "intoto-canonical-log-entry": (
        None,
        lambda w: (w.sign(statement(), form=INTOTO, keyed=True, promise=False, stamps=0), key(w)),
    ),
    "managed-key-happy-path": (None, lambda w: (file(w, keyed=True), key(w))),
    "managed-key-and-trusted-root": (None, unlogged_key),
    "rekor2-happy-path": (None, lambda w: (file(w, V2), {})),
    "rekor2-dsse-happy-path": (None, lambda w: (w.sign(statement(), form=V2), {})),
    "rekor2-checkpoint-cosigned": (None, lambda w: witnessed(w, first=False)),
    "rekor2-checkpoint-multiple-cosigs": (None, lambda w: witnessed(w, first=True)),
    "rekor2-checkpoint-origin-not-first": (None, lambda w: witnessed(w, first=True)),
    "rekor2-checkpoint-two-sigs-cosigned": (None, lambda w: witnessed(w, first=True, twice=True)),
    "rekor2-checkpoint-two-sigs-from-origin": (None, lambda w: witnessed(w, first=False, twice=True)),
    "rekor2-timestamp-with-embedded-cert": (None, lambda w: embedded_stamp(w, embed=True)),
    "rekor2-timestamp-without-embedded-cert": (None, lambda w: embedded_stamp(w, embed=False)),
    "rekor2-timestamp-with-expired-cert-chain": (None, expired_authority),
    "sct-duplicate-intermediate-name": (None, duplicate_intermediate),
    "trust-root-tlog-validity-end-inclusive": (
        None,
        lambda w: rooted(w, file(w), tlogs=[w.log.entry(end=START)]),
    ),
    "trust-root-tsa-validity-end-inclusive": (
        None,
        lambda w: rooted(w, file(w, V2), timestampAuthorities=[w.tsa.entry(end=START)]),
    ),
    # bundles that are none
    "bundle-empty-certificate-chain_fail": ("bundle-malformed", lambda w: chained(w, empty=True)),
    "bundle-invalid-base64-signature_fail": (
        "payload-encoding",
        lambda w: (bent(file(w), "messageSignature", "signature", value="!!!"), {}),
    ),
    "bundle-malformed-json_fail": ("bundle-malformed", lambda w: (as_bytes(file(w))[:-1], {})),
    "bundle-negative-log-index_fail": ("log-entry-invalid", lambda w: (in_entry(file(w), "logIndex", value="-1"), {})),
    "bundle-unknown-version_fail": (
        "bundle-version",
        lambda w: (bent(file(w), "mediaType", value=BUNDLE_V01.replace("0.1", "99.9")), {}),
    ),
    "bundle-with-root-cert_fail": ("chain-untrusted", lambda w: chained(w, der(w.ca.intermediate), der(w.ca.root))),
    "bundle-from-wrong-instance_fail": ("chain-untrusted", lambda w: (file(w), {"root": Sigstore().root()})),
    # logs
    "checkpoint-bad-keyhint_fail": (
        "checkpoint-invalid",
        lambda w: checkpoint(w, lambda note: w.log.note(note.partition("\n\n")[0] + "\n", hint=b"\0\0\0\0"), V1),
    ),
    "checkpoint-wrong-roothash_fail": (
        "checkpoint-invalid",
        lambda w: renoted(w, w.log_v2.origin, str(len(w.log_v2.entries)), to_base64(b"\0" * 32)),
    ),
    "invalid-checkpoint-signature_fail": (
        "checkpoint-invalid",
        lambda w: checkpoint(w, lambda note: w.log.note(note.partition("\n\n")[0] + "\n", key=new_ec()), V1),
    ),
    "inclusion-proof-corrupted-hash_fail": (
        "log-entry-invalid",
        lambda w: (in_entry(file(w), "inclusionProof", "hashes", value=[to_base64(b"\0" * 32)] * 3), {}),
    ),
    "invalid-inclusion-proof_fail": (
        "log-entry-invalid",
        lambda w: (in_entry(file(w), "inclusionProof", value=entry(file(w))["inclusionProof"]), {}),
    ),
    "intoto-missing-inclusion-proof_fail": (
        "log-entry-invalid",
        lambda w: (in_entry(w.sign(statement(), form=INTOTO), "inclusionProof", value=None), {}),
    ),
    "rekor2-no-inclusion-proof_fail": (
        "log-entry-invalid",
        lambda w: (in_entry(file(w, V2), "inclusionProof", value=None), {}),
    ),
    "set-invalid-signature_fail": (
        "log-entry-invalid",
        lambda w: (in_entry(file(w), "inclusionPromise", "signedEntryTimestamp", value=to_base64(b"no")), {}),
    ),
    "cve-2022-36056-swapped-tlog-entry_fail": ("log-entry-mismatch", lambda w: swapped(w, V1)),
    "wrong-hashedrekord-entry_fail": ("log-entry-mismatch", lambda w: swapped(w, V1)),
    "wrong-hashedrekord-cert-and-sig_fail": ("log-entry-mismatch", lambda w: swapped(w, V1, payload=FILE)),
    "dsse-mismatch-envelope_fail": ("log-entry-mismatch", lambda w: swapped(w, DSSE)),
    "dsse-mismatch-sig_fail": ("log-entry-mismatch", lambda w: again_signed(w, DSSE)),
    "dsse-with-hashedrekord-mismatch-envelope_fail": (
        "log-entry-mismatch",
        lambda w: (
            {
                **w.sign(statement(), form=V1),
                "verificationMaterial": w.sign(statement(b"x"), form=V1)["verificationMaterial"],
            },
            {},
        ),
    ),
    "dsse-with-hashedrekord-mismatch-sig_fail": ("log-entry-mismatch", lambda w: again_signed(w, V1)),
    "intoto-log-entry-mismatch_fail": ("log-entry-mismatch", lambda w: swapped(w, INTOTO)),
    "rekor2-dsse-mismatch-envelope_fail": ("log-entry-mismatch", swapped_v2),
    "rekor2-dsse-mismatch-sig_fail": ("log-entry-mismatch", lambda w: again_signed(w, V2)),
    "rekor2-checkpoint-missing-log-signature_fail": (
        "checkpoint-invalid",
        lambda w: checkpoint(w, lambda note: note.partition("— ")[0] + note_line("witness.test", b"wit1", b"other")),
    ),
    "rekor2-checkpoint-no-matching-signature_fail": (
        "checkpoint-invalid",
        lambda w: checkpoint(w, lambda note: note.replace(f"— {w.log_v2.name}", "— other.test")),
    ),
    "rekor2-checkpoint-missing-origin_fail": (
        "checkpoint-invalid",
        lambda w: renoted(w, str(len(w.log_v2.entries)), to_base64(tree_hash(w.log_v2.entries))),
    ),
    "rekor2-checkpoint-missing-root-hash_fail": (
        "checkpoint-invalid",
        lambda w: renoted(w, w.log_v2.origin, str(len(w.log_v2.entries))),
    ),
    "rekor2-checkpoint-missing-size_fail": (
        "checkpoint-invalid",
        lambda w: renoted(w, w.log_v2.origin, to_base64(tree_hash(w.log_v2.entries))),
    ),
    # signatures and what they cover
    "dsse-invalid-sig_fail": ("signature-invalid", lambda w: other_signature(w, DSSE, statement())),
    "dsse-with-hashedrekord-invalid-sig_fail": ("signature-invalid", lambda w: other_signature(w, V1, statement())),
    "rekor2-dsse-invalid-sig_fail": ("signature-invalid", lambda w: other_signature(w, V2, statement())),
    "signature-mismatch_fail": (
        "signature-invalid",
        lambda w: (bent(file(w), "messageSignature", "signature", value=to_base64(raw_sign(new_ec(), FILE))), {}),
    ),
    "message-digest-mismatch_fail": (
        "subject-mismatch",
        lambda w: (bent(file(w), "messageSignature", "messageDigest", "digest", value=to_base64(b"\0" * 32)), {}),
    ),
    "wrong-hashedrekord-artifact_fail": ("subject-mismatch", lambda w: (file(w), {"file": b"another file"})),
    "wrong-material_fail": ("subject-mismatch", lambda w: (w.sign(statement(), form=DSSE), {"file": b"another"})),
    "dsse-statement-missing-type_fail": (
        "statement-version",
        lambda w: (w.sign(statement(_type=None), form=DSSE, keyed=True), key(w)),
    ),
    "dsse-statement-unknown-type_fail": (
        "statement-version",
        lambda w: (w.sign(statement(_type="https://in-toto.io/Statement/v9"), form=DSSE, keyed=True), key(w)),
    ),
    # keys
    "incorrect-public-key_fail": ("log-entry-mismatch", other_keys_entry),
    "managed-key-no-key_fail": ("key-material-mismatch", lambda w: (file(w, keyed=True), {})),
    "managed-key-wrong-key_fail": (
        "signature-invalid",
        lambda w: (file(w, keyed=True), {"key": pem("PUBLIC KEY", spki(new_ec()))}),
    ),
    "managed-key-and-client-identity_fail": ("usage", lambda w: (file(w, keyed=True), {**key(w), "both": True})),
    # certificates and time
    "invalid-ct-key_fail": ("certificate-timestamp-invalid", wrong_ct_key),
    "integrated-time-in-future_fail": ("certificate-expired", lambda w: late_promise(w, V1, days=30)),
    "intoto-set-outside-signing-cert-validity_fail": (
        "certificate-expired",
        lambda w: late_promise(w, INTOTO, minutes=11),
    ),
    "intoto-expired-certificate_fail": (
        "chain-untrusted",
        lambda w: rooted(w, file(w), certificateAuthorities=[w.ca.entry(end=START - timedelta(days=1))]),
    ),
    "intoto-tsa-timestamp-outside-cert-validity_fail": ("certificate-expired", lambda w: late_stamp(w, INTOTO)),
    "rekor2-timestamp-with-incorrect-time_fail": ("certificate-expired", lambda w: late_stamp(w, V2)),
    "rekor2-multiple-timestamps-one-outside-cert-validity_fail": (
        "certificate-expired",
        lambda w: late_stamp(w, V2, both=True),
    ),
    "rekor2-no-timestamp_fail": ("time-unproven", lambda w: (file(w, V2, stamps=0), {})),
    "rekor2-timestamp-payload-mismatch_fail": (
        "timestamp-untrusted",
        lambda w: (stamps(file(w, V2), w.tsa.stamp(b"another signature")), {}),
    ),
    "rekor2-timestamp-outside-tsa-cert-validity_fail": ("timestamp-untrusted", outside_certificate),
    "rekor2-timestamp-outside-trust-root-tsa-validity_fail": (
        "timestamp-untrusted",
        lambda w: rooted(w, file(w, V2), timestampAuthorities=[w.tsa.entry(end=START - timedelta(days=1))]),
    ),
    "rekor2-timestamp-untrusted-tsa-with-embedded-cert_fail": (
        "timestamp-untrusted",
        lambda w: untrusted_stamp(w, embed=True),
    ),
    "rekor2-timestamp-untrusted-tsa-without-embedded-cert_fail": (
        "timestamp-untrusted",
        lambda w: untrusted_stamp(w, embed=False),
    ),
    "rekor2-timestamp-wrong-tsa-validity-borrow_fail": ("trust-root-malformed", borrowed),
    "trust-root-tlog-missing-validity-start_fail": ("trust-root-malformed", no_start),
}


def verify(folder: Path, world: Sigstore, bundle: Any, options: dict[str, Any], *, digest: bool) -> int:
    (folder / "bundle.json").write_bytes(bundle if isinstance(bundle, bytes) else as_bytes(bundle))
    (folder / "root.json").write_bytes(as_bytes(options.get("root", world.root())))
    (folder / "a.txt").write_bytes(options.get("file", FILE))
    arguments = ["attest", "verify-bundle", "--bundle", str(folder / "bundle.json")]
    if "key" in options:
        (folder / "key.pub").write_text(options["key"])
        arguments += ["--key", str(folder / "key.pub")]
    if "key" not in options or options.get("both"):
        arguments += ["--certificate-identity", IDENTITY, "--certificate-oidc-issuer", ISSUER]
    arguments += ["--trusted-root", str(folder / "root.json")]
    artifact = str(Digest.of(options.get("file", FILE))) if digest else str(folder / "a.txt")
    return run([*arguments, artifact])


@pytest.mark.parametrize("digest", [False, True], ids=["file", "digest"])
@pytest.mark.parametrize("name", CASES)
def test_every_case_of_the_conformance_suite_ends_as_it_must(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, *, digest: bool
) -> None:
    expected, make = CASES[name]
    world = Sigstore()
    bundle, options = make(world)
    code = verify(tmp_path, world, bundle, options, digest=digest)
    said = capsys.readouterr()
    assert name.endswith("_fail") == (expected is not None)
    assert (code == 0) == (expected is None), said.err
    if expected is None:
        assert said.out.startswith(f"{tmp_path / 'bundle.json'} is verified\n")
    else:
        assert f"[{expected}]" in said.err


def test_a_certificate_log_that_nobody_configured_is_not_enough(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world = Sigstore()
    options = {"root": world.root(ctlogs=[CertificateLog().entry()])}
    assert verify(tmp_path, world, file(world), options, digest=False) != 0
    assert "[threshold-not-met]" in capsys.readouterr().err


@pytest.mark.parametrize("instance", [[], ["--staging"]], ids=["production", "staging"])
def test_the_public_instance_is_asked_for_by_naming_no_root(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], instance: list[str]
) -> None:
    """Nothing of this world is believed there, but its roots are read: what is refused is the certificate."""
    world = Sigstore()
    (tmp_path / "bundle.json").write_bytes(as_bytes(file(world)))
    who = ["--certificate-identity", IDENTITY, "--certificate-oidc-issuer", ISSUER]
    named = ["attest", "verify-bundle", *instance, "--bundle", str(tmp_path / "bundle.json"), *who]
    assert run([*named, str(Digest.of(FILE))]) != 0
    assert "[chain-untrusted]" in capsys.readouterr().err
