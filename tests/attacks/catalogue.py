"""Every attack that has been described to us: what is tried, and the reasons with which it is refused.

Tests name the attack that they play (`test_t047_…`). The page of those that have a test is made from both.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
PAGE: Final = "docs/reference/threats.md"
_NAMED: Final = re.compile(r"test_((?:t\d{3}_)+)")

_INTRODUCTION: Final = """\
# Attacks that are tested

What somebody may try who can push to a registry, runs one, or sits before it, and the reason with which samebits
refuses. A row is here when a test named for it (`test_t047_…`) plays the attack and asserts the code, so that the test
fails once the check is gone. Numbers never change; those that are absent have no test yet. A dash stands for no code of
its own: the attack comes to nothing, or is refused with the code of the part that it hits.

What a code means and what to do stands in [reason codes](reason-codes.md). Files are below `tests/`.
"""

# Of these there is no test yet; whoever writes one takes its number out.
_AWAITED: Final = """
T004 T006 T020 T024 T025 T027 T028 T030 T031 T032 T036 T043 T044 T045 T065 T066 T067 T068 T069 T070 T071
T072 T073 T075 T100 T101 T102 T103 T110
"""
AWAITED: Final = frozenset(_AWAITED.split())

ATTACKS: Final[Mapping[str, Mapping[str, tuple[str, tuple[str, ...]]]]] = {
    "Bundles, records and signers": {
        "T001": ("a log entry of something else in the bundle", ("log-entry-mismatch",)),
        "T002": ("a log entry with a changed field", ("log-entry-invalid",)),
        "T003": ("a signed payload that can't be read", ("payload-malformed",)),
        "T004": ("an attestation of another type than the gate asks for", ("attestation-missing",)),
        "T005": ("an image that nobody attested", ("predecessor-missing",)),
        "T006": ("input that makes a program fail, so that its end looks like a success", ("internal-error",)),
        "T007": ("a key in the place of a certificate, or the other way round", ("key-material-mismatch",)),
        "T008": ("a root that comes with the bundle", ("chain-untrusted",)),
        "T009": ("one owner who signs twice, to reach a threshold of two", ("threshold-not-met",)),
        "T010": ("a signature from outside the time in which its key may sign", ("key-not-valid-at-time",)),
        "T011": ("a chain with an expired certificate", ("certificate-expired",)),
        "T012": ("a time stamp by somebody who may not make any, or of other bytes", ("timestamp-untrusted",)),
        "T013": ("a time of signing that nobody has vouched for", ("time-unproven",)),
        "T014": ("a checkpoint of another log, or written wrongly", ("checkpoint-invalid",)),
        "T015": ("bundles with very many entries", ("limit-exceeded",)),
        "T016": ("more than one signature in an envelope", ("signature-count",)),
        "T017": ("bytes that were signed as something else", ("payload-type-mismatch",)),
        "T018": ("a payload in another encoding than was signed", ("payload-encoding",)),
        "T019": ("JSON that two parsers read differently", ("json-ambiguous",)),
        "T020": ("fields with nearly the right name", ("field-unknown",)),
        "T021": ("weak keys, weak digests", ("algorithm-not-allowed",)),
        "T022": (
            "a bundle that only another trusted root believes, or another root in the place of the pinned one",
            ("chain-untrusted", "log-entry-invalid", "threshold-not-met", "trust-root-mismatch"),
        ),
        "T023": ("any single changed byte of a bundle", ()),
        "T024": ("a record about two images", ("subject-count",)),
        "T025": ("the right name with another digest", ("subject-name-mismatch",)),
        "T026": ("a platform of an admitted index, promoted on the chain of the index", ("predecessor-missing",)),
        "T027": ("a record about a configuration or a layer", ("subject-mismatch",)),
        "T028": ("a predicate type that is nearly the right one", ("predicate-type-mismatch",)),
        "T029": ("records, or a definition, of another pipeline", ("pipeline-mismatch",)),
        "T030": ("a record with a field left out", ("predicate-incomplete",)),
        "T031": ("annotations and tags that claim what no record says", ("attestation-missing",)),
        "T032": ("a statement of an old version, or of none", ("statement-version",)),
        "T033": ("an answer that does not end", ("size-limit",)),
        "T034": ("a few compressed bytes that unpack to very many", ("size-limit",)),
        "T035": ("names of signers that are nearly right", ("identity-mismatch",)),
        "T036": ("a key of the definition that would not be applied", ("policy-key-unknown",)),
        "T037": ("a signer's name with a line feed at its end", ("identity-mismatch",)),
        "T038": ("letters that look like others in a signer's name", ("identity-mismatch",)),
        "T039": ("the right signer from another issuer", ("issuer-mismatch",)),
        "T040": (
            "a workflow at another branch or tag, or with another claim",
            ("identity-mismatch", "claim-mismatch", "policy-too-wide"),
        ),
        "T041": ("the key of one stage, used to admit to another", ("signer-not-for-stage",)),
        "T042": (
            "records by a revoked signer, and images that were revoked",
            ("key-revoked", "digest-revoked", "stage-stopped"),
        ),
        "T043": ("an old key after its time", ("key-not-valid-at-time",)),
        "T044": ("a configuration that lies about and that nobody has named", ("config-not-named",)),
        "T045": ("an identity token that leaks, or answers another login", ("oidc-flow-invalid",)),
        "T046": ("a name that leads out of its folder", ("name-unsafe", "archive-malformed", "upload-not-found")),
    },
    "What registries hold and send": {
        "T047": ("other bytes, under a header that names the digest that was asked for", ("digest-mismatch",)),
        "T048": ("a tag that moves between the decision and the copy", ("digest-changed",)),
        "T049": ("a HEAD and a GET that tell of different images", ("digest-mismatch",)),
        "T050": ("a document that is an image to one reader and an index to another", ("media-type-confusion",)),
        "T051": ("a Content-Type that contradicts the document", ("media-type-confusion",)),
        "T052": ("a destination or proxy that formats manifests anew", ("destination-altered",)),
        "T053": (
            "a destination that turns Docker manifests into OCI ones; a schema 1 image",
            ("destination-altered", "manifest-unsupported"),
        ),
        "T054": ("a blob with other, more or fewer bytes", ("digest-mismatch", "size-mismatch")),
        "T055": ("indexes in indexes, and indexes of very many images", ("limit-exceeded", "size-limit")),
        "T056": ("an index that is served as its own child", ("digest-mismatch",)),
        "T057": ("a manifest of more than 4 MiB, or without end", ("size-limit",)),
        "T058": ("a layer that is to be fetched from a host of the attacker", ("foreign-layer-refused",)),
        "T059": (
            "digests that are weak or badly written, and a destination that stores under another one",
            ("digest-malformed", "algorithm-not-allowed", "digest-mismatch", "destination-altered"),
        ),
        "T060": ("names of images that can be read in two ways", ("reference-malformed",)),
        "T061": (
            "a tag that lists the records of another image as those of this one",
            ("referrer-subject-mismatch", "predecessor-missing"),
        ),
        "T062": ("a destination that confirms every mount and has nothing", ("destination-incomplete",)),
        "T063": (
            "a blob that is announced and can't be read, as after a garbage collection",
            ("destination-incomplete",),
        ),
        "T064": (
            "a destination that takes manifests without their blobs, or takes everything and keeps nothing",
            ("destination-incomplete",),
        ),
    },
    "Transport and output": {
        "T065": ("a redirect that asks for the credentials elsewhere", ("cross-origin-credentials",)),
        "T066": ("an upload that is to go to another host", ("cross-origin-upload",)),
        "T067": ("a token server of somebody else", ("token-realm-refused",)),
        "T068": ("an address inside the network, named by a server outside", ("address-not-allowed",)),
        "T069": ("the network's own addresses, reached by name or redirect", ("address-not-allowed",)),
        "T070": ("a way from TLS to plain HTTP", ("tls-downgrade",)),
        "T071": ("a token for more than is done", ("token-scope-too-wide",)),
        "T072": ("credentials and authorities that the process brings along", ("credentials-missing",)),
        "T073": ("secrets in messages, logs and records", ("secret-in-output",)),
        "T074": ("terminal escapes in what a server says", ()),
        "T075": ("certificates that are expired, for another name, or of nobody known", ("tls-invalid",)),
    },
    "Where records are kept": {
        "T076": ("writers of one list who remove each other's records", ("attestation-not-visible",)),
        "T077": (
            "a registry that hides an admission, a failure, or everything",
            ("predecessor-missing", "step-missing", "key-revoked"),
        ),
        "T078": (
            "a hundred thousand entries beside the good ones, and pages without end",
            ("too-many-referrers", "size-limit"),
        ),
        "T079": ("a list that describes its entries as something else", ("referrer-descriptor-mismatch",)),
        "T080": (
            "a listed record that hangs on another image, or on none",
            ("referrer-subject-mismatch", "predecessor-missing"),
        ),
        "T081": ("records on records on records", ("limit-exceeded",)),
        "T082": ("a copy that leaves a record behind, or adds one each time", ("referrers-incomplete",)),
        "T083": ("a registry that knows nothing of subjects, or only says that it does", ("attestation-not-visible",)),
        "T084": ("a registry that gains the referrers API, and forgets the list of before", ()),
        "T085": ("a list that shows a new record late, or never", ("attestation-not-visible",)),
        "T086": ("a record that somebody deletes, or strikes off the list", ("predecessor-missing",)),
    },
    "The pipeline and its gates": {
        "T087": ("a stage that is left out", ("stage-skipped",)),
        "T088": ("two admissions to one stage on different grounds", ("chain-branched",)),
        "T089": ("the admission of one run with the steps of another", ("run-mismatch",)),
        "T090": ("evidence of long ago", ("evidence-too-old",)),
        "T091": ("an earlier image in the place of a later one", ("rollback-refused",)),
        "T092": (
            "a definition that was changed after its owners signed it, or that a later one has replaced",
            ("pipeline-changed", "definition-rolled-back"),
        ),
        "T093": ("a record that is replaced by another valid one", ("predecessor-changed",)),
        "T094": ("another image under the tag that was admitted", ("digest-changed",)),
        "T095": ("a changed byte in a layer", ("digest-mismatch",)),
        "T096": ("the image from another place than the stage before", ("repository-mismatch",)),
        "T097": ("a tag that somebody else has set", ("tag-conflict",)),
        "T098": ("a tag that is there before its records", ()),
        "T099": ("two promotions to one tag at the same time", ("tag-conflict",)),
        "T100": ("somebody who approves their own work", ("self-approval",)),
        "T101": ("an approval of something else", ("approval-mismatch",)),
        "T102": ("a change after the approval", ("approval-stale",)),
        "T103": (
            "an emergency that does not end, or that one person declares",
            ("break-glass-expired", "break-glass-not-allowed", "approval-missing"),
        ),
        "T104": ("a record from the future", ("clock-skew",)),
        "T105": ("a dry run that writes", ("write-in-dry-run",)),
        "T106": ("waivers that cover too much, or for too long", ("waiver-invalid", "waiver-expired")),
        "T107": ("the word of nobody in particular that a finding does not matter", ("vex-untrusted",)),
        "T108": ("a scan of another image", ("subject-mismatch",)),
        "T109": ("reports that show nothing", ("evidence-empty",)),
        "T110": ("a scan with old data", ("evidence-too-old",)),
        "T111": ("a bill of materials without content, or of something else", ("evidence-empty", "subject-mismatch")),
        "T112": ("a build by another builder, or from another source", ("provenance-mismatch",)),
        "T113": ("reports that are made to exhaust their reader", ("size-limit", "evidence-malformed")),
        "T114": ("a scanner that fails and says nothing", ("scanner-failed",)),
        "T115": ("a gate that fails while it judges", ("gate-error",)),
        "T120": ("a definition that leads to a registry nobody has pinned", ("registry-not-allowed",)),
    },
    "Crashes, faults and audits": {
        "T131": ("a run that is killed before its end", ()),
        "T132": ("one of sixteen faults at any request", ("registry-unavailable",)),
        "T133": ("a peer that is too slow", ("deadline-exceeded",)),
        "T134": ("a garbage collection in the middle of a promotion", ("destination-incomplete",)),
        "T135": ("a disk that can't be written", ("local-storage-failed",)),
        "T136": ("an interrupt at any time", ("run-interrupted",)),
        "T137": ("content that grows without end", ("size-mismatch",)),
        "T138": ("an audit that could not read everything", ("audit-incomplete",)),
    },
}


@cache
def shown() -> Mapping[str, tuple[str, ...]]:
    """Attack -> the files below `tests/` with a test that names it, those that play it as a user meets it first."""
    found: dict[str, set[str]] = {}
    for path in (ROOT / "tests").rglob("test_*.py"):
        name = path.relative_to(ROOT / "tests").as_posix()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and (match := _NAMED.match(node.name)):
                for number in re.findall(r"\d{3}", match[1]):
                    found.setdefault(f"T{number}", set()).add(name)
    return {
        item: tuple(sorted(files, key=lambda name: (name.startswith("unit/"), name))) for item, files in found.items()
    }


def page() -> str:
    """docs/reference/threats.md."""
    parts = [_INTRODUCTION]
    for section, attacks in ATTACKS.items():
        rows = [_row(item, *attack) for item, attack in attacks.items() if item in shown()]
        if rows:
            head = ("| item | what is tried | refused with | shown in |", "|---|---|---|---|")
            parts.append("\n".join((f"## {section}", "", *head, *rows, "")))
    return "\n".join(parts)


def _row(item: str, tried: str, codes: tuple[str, ...]) -> str:
    refused = ", ".join(f"`{code}`" for code in codes) or "-"
    return f"| {item} | {tried} | {refused} | {', '.join(f'`{name}`' for name in shown()[item])} |"
