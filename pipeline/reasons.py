"""Every reason code: how a run ends with it, what it means, and what to do. A code is never renamed.

The exit code belongs to the code, not to the class that carries it. `samebits explain CODE` prints a row of this table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType
from typing import Final


class Exit(IntEnum):
    """How a run ends, apart from 0."""

    BUG = 1
    USAGE = 2
    BLOCKED = 3
    UNAUTHORIZED = 4
    INTEGRITY = 5
    NOT_FOUND = 6
    UNAVAILABLE = 7
    WAITING = 8
    INTERRUPTED = 130


# Of several reasons, the first of these decides: what must never be retried comes before what may be.
_ORDER: Final = (
    Exit.INTEGRITY,
    Exit.UNAUTHORIZED,
    Exit.NOT_FOUND,
    Exit.UNAVAILABLE,
    Exit.BLOCKED,
    Exit.WAITING,
    Exit.USAGE,
    Exit.INTERRUPTED,
    Exit.BUG,
)


@dataclass(frozen=True, slots=True)
class Advice:
    """What a code means, and what helps."""

    exit_code: Exit
    title: str
    advice: str


def exit_code(codes: Iterable[str]) -> int:
    """How a run with these reasons ends; never 0. A code that is not in the table is a bug."""
    found = {REASONS[code].exit_code if code in REASONS else Exit.BUG for code in codes}
    return next((exit_code for exit_code in _ORDER if exit_code in found), Exit.BUG)


_Rows = Mapping[str, tuple[str, str]]

_BYTES: Final[_Rows] = {
    "layer-malformed": (
        "A layer of the image can't be read as an archive, or holds more than can be read.",
        "Build the image with another tool; what one reader skips, another one unpacks.",
    ),
    "layer-compression-unknown": (
        "A layer is compressed in a way that is not read here.",
        "Build the image with gzip or without compression.",
    ),
    "digest-mismatch": (
        "The bytes are not those that the digest names.",
        "They were changed on the way or at rest. Restore them from where they are whole; see who can write there.",
    ),
    "size-mismatch": (
        "There are more or fewer bytes than the descriptor says.",
        "The content was cut or padded. Push it again from a place where it is whole.",
    ),
    "size-limit": (
        "There are more bytes than samebits reads.",
        "The limit keeps hostile content from filling memory. Make the file smaller, or look at what sent it.",
    ),
    "limit-exceeded": (
        "There are more items, or deeper levels, than samebits reads.",
        "The limit keeps hostile content from taking for ever. Look at what made so many of them.",
    ),
    "too-many-referrers": (
        "More records hang on the image than samebits reads.",
        "Remove what does not belong to the image; whoever may push there can attach records.",
    ),
    "digest-malformed": ("The text is not a digest.", "Write it as sha256: and 64 lower-case hexadecimal digits."),
    "algorithm-not-allowed": (
        "The digest, key or signature is of a kind that is not believed.",
        "Use sha256 or sha512 digests, and ECDSA P-256, Ed25519 or RSA keys from 2048 bits.",
    ),
    "media-type-confusion": (
        "A document says that it is two different things.",
        "Content type, `mediaType` and fields must agree. Build the image again with a tool that does it right.",
    ),
    "manifest-malformed": (
        "The manifest or index is not of the shape that OCI gives it.",
        "Build and push the image again; if a registry or proxy changes manifests, go around it.",
    ),
    "manifest-unsupported": (
        "The manifest is of a kind that can't be kept bit for bit.",
        "Push the image with a current tool, as an OCI or Docker schema 2 image.",
    ),
    "archive-malformed": (
        "The archive, or what the Docker engine saved, can't be read.",
        "Write it again; an archive that was cut off or compressed on the way is not read.",
    ),
    "layout-unsupported": (
        "The folder is no OCI layout of a version that is read.",
        "Write it again as an OCI image layout 1.0.0.",
    ),
    "json-malformed": ("The bytes are not JSON.", "See what is really there; often it is an error page of a proxy."),
    "json-ambiguous": (
        "Two readers could understand this JSON differently.",
        "Have it written without duplicate keys, NaN, lone surrogates and huge numbers.",
    ),
    "content-encoding-refused": (
        "The registry sent compressed content where plain bytes were asked for.",
        "Switch compression of responses off at the registry or the proxy before it.",
    ),
    "foreign-layer-refused": (
        "A layer is to be fetched from a place outside the registry.",
        "Build the image with all of its layers in the registry.",
    ),
    "control-characters": (
        "A text holds characters that can't be seen.",
        "Remove them; they could hide what the text really says.",
    ),
    "name-unsafe": (
        "A name would leave its folder.",
        "Use a plain relative path without `..`; if you did not write this name, find out who did.",
    ),
    "destination-altered": (
        "The destination serves other manifest bytes than were pushed.",
        "The registry or a proxy rewrites manifests. Switch that off; the same image can't be kept there otherwise.",
    ),
    "digest-changed": (
        "The tag points at another image than the one that was admitted.",
        "Find out who moved the tag. Promote by digest, or admit the new image from the beginning.",
    ),
    "fallback-tag-occupied": (
        "The tag that must list the records of an image holds something else.",
        "Remove the tag of the form sha256-…; nothing else may use such names.",
    ),
}

_NETWORK: Final[_Rows] = {
    "cross-origin-credentials": (
        "Another host asks for the registry's credentials.",
        "Nothing was sent there. See where the registry redirects to, and tell its operator.",
    ),
    "cross-origin-upload": (
        "The registry wants the upload to go to another host.",
        "Nothing was sent there. Let the registry take uploads itself, or allow the host: --allow-host HOST[:PORT].",
    ),
    "cross-origin-link": (
        "The registry says that its list goes on at another host.",
        "Nothing was asked there. Tell the registry's operator.",
    ),
    "token-realm-refused": (
        "The registry names a token server that does not belong to it.",
        "No credentials were sent. Only if you know that it is the registry's: --allow-host HOST[:PORT].",
    ),
    "token-scope-too-wide": (
        "A token would allow more than the run needs.",
        "Give the account rights for the repositories of the pipeline only.",
    ),
    "address-not-allowed": (
        "A server names an address inside the network that is not its own.",
        "Nothing was sent there. Only if you know that the registry keeps its content there: --allow-host HOST[:PORT].",
    ),
    "tls-downgrade": (
        "A server with TLS leads to one without.",
        "Nothing was sent there. Correct the address in the registry's configuration.",
    ),
    "tls-invalid": (
        "The server's certificate is not accepted.",
        "Name your own authority, --registry-ca HOST=FILE, or renew the certificate. It can't be ignored.",
    ),
    "registry-not-allowed": (
        "The definition names a registry that the pinned trust file does not allow.",
        "If the registry is yours, add it to `registries` in the trust file. Otherwise the definition was changed.",
    ),
}

_BUNDLES: Final[_Rows] = {
    "bundle-malformed": (
        "The record is not a Sigstore bundle.",
        "It counts as absent. Record the step or promotion again; remove the broken one if it keeps coming back.",
    ),
    "bundle-version": ("The bundle is of a version that is not read.", "Sign with a tool that writes bundles v0.3."),
    "field-unknown": (
        "A signed record has a field that does not belong there.",
        "It counts as absent, since readers could disagree about it. Sign it again with the same version of samebits.",
    ),
    "payload-malformed": (
        "What was signed can't be read.",
        "It counts as absent. Sign it again with a tool that writes in-toto statements.",
    ),
    "payload-encoding": ("The payload is not written as base64 writes it.", "It counts as absent. Sign it again."),
    "payload-type-mismatch": (
        "What was signed is no in-toto statement.",
        "It counts as absent. Attest with a tool that signs in-toto statements in DSSE envelopes.",
    ),
    "predicate-type-mismatch": (
        "A statement is of another type than is wanted here.",
        "It counts as absent. The types must agree letter for letter.",
    ),
    "predicate-incomplete": (
        "A field that must be there is missing.",
        "The record counts as absent. Make it again with a current version of samebits.",
    ),
    "statement-version": ("The statement is of an unknown version.", "Use a tool that writes in-toto Statement v1."),
    "signature-count": (
        "There is not exactly one signature.",
        "It counts as absent. Every signer attaches a bundle of its own.",
    ),
    "signature-invalid": (
        "The signature does not belong to this content and key.",
        "The record was changed, or another key made it. Make it again; find out who attached this one.",
    ),
    "signer-unknown": (
        "Nobody that is configured made this signature.",
        "Add the signer's key to the definition, or use a key that is in it.",
    ),
    "key-material-mismatch": (
        "The bundle brings another kind of key than the configuration asks for.",
        "A bundle never says whom to trust. Sign with the configured key.",
    ),
    "key-not-valid-at-time": (
        "The key may not sign at this time.",
        "Sign with the key that is valid now, or extend `valid` in the definition and have it signed.",
    ),
    "key-revoked": (
        "The signer was revoked.",
        "Do the step or promotion again with a key that is still good.",
    ),
    "stage-stopped": (
        "The pinned trust file has stopped this stage, or the whole pipeline.",
        "Nothing goes in or on until whoever keeps the trust file takes the stop out of it.",
    ),
    "digest-revoked": (
        "The image was revoked.",
        "It is not let in anywhere. Build and promote another one; the pinned trust file says who revoked it.",
    ),
    "chain-untrusted": (
        "The certificate does not lead to a trusted root.",
        "Roots come from the configuration only: pin one as `sigstore: {trusted-root: FILE}` in the trust file.",
    ),
    "certificate-invalid": (
        "The certificate may not be used for this, or can't be read.",
        "Sign with a certificate for code signing from the authority that the trusted root names.",
    ),
    "certificate-timestamp-invalid": (
        "The promise of a certificate log does not fit the certificate.",
        "Sign again; if it stays like this, check that the trusted root has the right log keys.",
    ),
    "certificate-expired": (
        "A certificate was not valid when it signed.",
        "Sign again with a certificate whose whole chain is valid.",
    ),
    "identity-mismatch": (
        "The certificate belongs to somebody else.",
        "Compare issuer and subject with the definition letter for letter.",
    ),
    "claim-mismatch": (
        "The certificate says something else of the workflow than the definition claims.",
        "See which claim it is; if the workflow has changed, the owners have to change `claims`.",
    ),
    "issuer-mismatch": ("The certificate comes from another issuer.", "An identity is issuer and subject; check both."),
    "record-not-bundled": (
        "A record of samebits stands in an older form.",
        "samebits' own records count only as bundles that hang on the image. Find out who put this one there.",
    ),
    "proof-not-portable": (
        "Part of an older attestation's proof does not fit a bundle.",
        "The older form stays where it is. Have its signer attest again, which makes a bundle with a whole proof.",
    ),
    "attestations-hidden": (
        "A first bundle hides the image's older attestations from cosign 3.",
        "Carry them over: samebits rewrap IMAGE. samebits itself goes on to read them in the older form.",
    ),
    "log-entry-invalid": ("The log entry does not hold.", "Sign again; the bundle's log entry was changed or cut."),
    "log-entry-mismatch": (
        "The log entry belongs to something else.",
        "Sign again, and find out who put this bundle together.",
    ),
    "checkpoint-invalid": (
        "The log's checkpoint does not hold.",
        "Check that the trusted root has the right log key, then sign again.",
    ),
    "time-unproven": ("Nothing proves when it was signed.", "Sign with a time stamp or a log that promises a time."),
    "timestamp-untrusted": (
        "The time stamp is not from a trusted authority.",
        "Use the authority that the trusted root names.",
    ),
    "timestamp-malformed": (
        "The time stamp can't be read.",
        "Sign again; the bundle's time stamp was changed cut, or its authority does not follow RFC 3161.",
    ),
    "trust-root-mismatch": (
        "The trusted root is not the pinned one.",
        "Find out who replaced it before anything else. A new root is pinned on purpose only.",
    ),
    "subject-count": (
        "A record is about more or fewer than one image.",
        "It counts as absent. Each image gets a record of its own.",
    ),
    "subject-mismatch": (
        "The statement or report is about another image.",
        "Scan, test or sign exactly the digest that is promoted, not a tag.",
    ),
    "subject-name-mismatch": (
        "A record names an image that it is not about.",
        "Only the digest counts. Make the record again for the right image.",
    ),
    "referrer-subject-mismatch": (
        "What is listed as a record of this image hangs on another one.",
        "It is left aside. Find out who wrote the list.",
    ),
    "referrer-descriptor-mismatch": (
        "The list describes a record otherwise than the record itself does.",
        "The record itself counts. Tell the registry's operator.",
    ),
}

_CHAIN: Final[_Rows] = {
    "predecessor-missing": (
        "A record of a stage before is not there.",
        "Promote the image to that stage first. If that was done, the record was deleted: see `samebits audit IMAGE`.",
    ),
    "predecessor-changed": (
        "A record of a stage before was replaced by another one.",
        "A later record names the first one by digest. Find out who replaced it; promote again from the stage before.",
    ),
    "stage-skipped": (
        "The image has not been through every stage.",
        "Promote it in the order of the definition: `samebits definition show`.",
    ),
    "chain-branched": (
        "Two admissions to one stage rest on different grounds.",
        "Nothing says which one counts. Remove the wrong record, or promote a new build.",
    ),
    "run-mismatch": (
        "A step belongs to another admission than the one it is shown for.",
        "Do the step again, after the admission that counts.",
    ),
    "step-missing": ("There is no record that a step was done.", "Do it: `samebits step STAGE STEP IMAGE`."),
    "step-failed": ("A step of a stage before failed.", "Fix what failed, then do the step again."),
    "step-ambiguous": (
        "Two records of one step disagree, and neither replaces the other.",
        "Do the step once more; the new record names what it replaces.",
    ),
    "step-changed": (
        "The step was defined otherwise when it was done.",
        "Do the step again under the definition that is in force.",
    ),
    "signer-not-for-stage": (
        "The signer is known, but may not sign this.",
        "Sign with a key that the definition names for this stage or step.",
    ),
    "pipeline-mismatch": (
        "The record or definition belongs to another pipeline.",
        "Use the trust file and the definition of one and the same pipeline.",
    ),
    "pipeline-changed": (
        "The definition is not the one that was signed, or that the record was made under.",
        "Have the owners look at the change and sign it: `samebits definition sign --key FILE`.",
    ),
    "definition-rolled-back": (
        "An older definition is used although its owners have signed a later one.",
        "Use the latest definition; to undo a change, sign a version after it.",
    ),
    "definition-unsigned": (
        "No owner has signed the definition.",
        "Have the owners sign it: `samebits definition sign --key FILE`.",
    ),
    "threshold-not-met": (
        "Too few different signers, logs or authorities have signed.",
        "One more of them has to sign or vouch; one that does so twice counts once.",
    ),
    "repository-mismatch": (
        "A record or image is from another repository than the definition says.",
        "Name the image where the definition keeps it, or promote it there first.",
    ),
    "clock-skew": (
        "A record or report is from the future.",
        "Set the clock of the machine that made it, or of this one; five minutes are tolerated.",
    ),
    "request-expired": ("The request is too old.", "Send a new one."),
    "request-malformed": ("The request can't be read.", "Send it again with a current version of samebits."),
    "request-untrusted": ("The request is not signed by somebody who may ask.", "Sign it with a configured key."),
    "tag-not-allowed": ("A tag stands where a digest must.", "Name the image by its digest."),
    "admission-malformed": ("The admission request can't be read.", "Check what calls the webhook."),
    "secret-in-output": (
        "Something to be signed or shown holds a secret.",
        "Nothing was written. Remove the secret from the input, and replace it.",
    ),
    "write-in-dry-run": (
        "A dry run was about to write.",
        "Nothing was written. This is a fault in samebits: please report it.",
    ),
}

_BLOCKED: Final[_Rows] = {
    "vulnerability-found": (
        "The image has a vulnerability that the gate does not let pass.",
        "Update the package and build again, or ask the owner of the policy for a waiver.",
    ),
    "alert-found": (
        "Static analysis has found something that the gate does not let pass.",
        "Correct it and build again, or ask the owner of the policy for a waiver.",
    ),
    "tests-failed": ("Tests have failed.", "Fix them, build again, and record the new results."),
    "attestation-missing": (
        "The gate finds no evidence of the kind that it asks for.",
        "Record the report with `samebits step … --report FORMAT=FILE`, signed by somebody the gate names.",
    ),
    "attestation-too-old": ("The evidence is older than allowed.", "Do the step again."),
    "evidence-too-old": (
        "The scan, or its data, is older than allowed.",
        "Update the database, scan and record again.",
    ),
    "evidence-empty": (
        "The report shows nothing: no target, no test, no tool.",
        "An empty report is no good result. See whether the tool ran to its end, and on the image.",
    ),
    "evidence-malformed": (
        "The report can't be read in the format that it was recorded as.",
        "Record the tool's own output, unchanged, under the name of its format.",
    ),
    "provenance-mismatch": (
        "The image was built otherwise, by another builder or from another source.",
        "Build it where the definition says.",
    ),
    "scanner-failed": ("The scanner did not finish.", "Run it again; what was not checked does not pass."),
    "gate-error": (
        "A gate failed while it judged.",
        "What could not be judged does not pass. See the message, and report it if the input was in order.",
    ),
    "waiver-expired": (
        "A waiver has ended, and what it let stand does not stand any more.",
        "Update the package, or have whoever owns the gate give a new one: `samebits waive add`.",
    ),
    "waiver-expiring": ("A waiver that is used ends soon.", "Update the package before, or have it renewed."),
    "waiver-invalid": ("A waiver does not count.", "It needs exact ids, a scope, a reason, an owner and an expiry."),
    "vex-untrusted": (
        "A statement that something is not exploitable does not count.",
        "It must be signed by somebody the gate names, about this image, with a justification.",
    ),
    "definition-loosened": (
        "The definition lets in more than the one before.",
        "Look at each change; if all of them are meant, leave `--fail-on-loosening` out, or have it approved.",
    ),
    "malware-found": (
        "A file of the image is known malware.",
        "Don't run it anywhere. Find out how it came there, and build from a clean base.",
    ),
    "rule-broken": (
        "An expression of the gate `cel` does not hold.",
        "The message has the expression; the owners of the definition know what it is for.",
    ),
    "config-refused": (
        "The image starts in a way that the definition does not allow.",
        "Change how it is built; the message says what and where.",
    ),
    "base-refused": (
        "The image is built on a base that the definition does not allow.",
        "Build it on one of those that the message names, or let the definition's owners allow its layers.",
    ),
    "base-outdated": (
        "The image is built on a base whose last day is over.",
        "Build it on a base that is still allowed.",
    ),
    "self-approval": ("Somebody approved their own work.", "Ask somebody who neither built nor promotes the image."),
    "approval-mismatch": ("The approval is for something else.", "Ask for one for this image and stage."),
    "approval-stale": ("Something changed after it was approved.", "Ask for an approval of what is there now."),
    "approval-expired": ("The approval was given too long ago.", "Ask for a new one."),
    "break-glass-not-allowed": (
        "The definition allows no emergency admission here.",
        "Promote in the ordinary way; only the owners can add `break-glass` to a stage.",
    ),
    "break-glass-expired": (
        "The emergency permission has run out.",
        "Promote in the ordinary way, or ask for a new one.",
    ),
    "rollback-refused": (
        "The stage has moved on to a later image.",
        "Going back is a decision of its own and gets its own record: `samebits rollback`.",
    ),
    "step-not-passed": ("The step failed, and the failure is on record.", "Fix what failed, then do the step again."),
}

_UNAUTHORIZED: Final[_Rows] = {
    "credentials-missing": ("The registry asks for a login, and there is none.", "docker login REGISTRY"),
    "credentials-refused": ("The registry refuses the login.", "Log in again: docker login REGISTRY"),
    "credentials-malformed": (
        "The file with the logins can't be read.",
        "Mend or remove it, then log in again: docker login REGISTRY",
    ),
    "credentials-unsupported": (
        "The login is of a kind that this registry does not take.",
        "Log in with a user name and a password or access token.",
    ),
    "credential-helper-failed": (
        "The program that keeps the logins failed.",
        "Run it by hand to see why: echo REGISTRY | docker-credential-NAME get",
    ),
    "challenge-unsupported": (
        "The registry asks for a kind of login that is not known.",
        "Basic and bearer logins are; check whether the address is a registry at all.",
    ),
    "access-denied": ("The account may not do this.", "Give it the right to pull, or to push to the destination."),
    "key-missing": (
        "There is nothing to sign with: no key was named, and no identity token was found.",
        "Name a key (--key FILE, or SAMEBITS_KEY), or let the CI give the job an identity token.",
    ),
    "key-refused": (
        "The keeper of the key does not let it be used.",
        "Check the key's name, and the login or PIN that its keeper wants: AWS, Vault, or the token's.",
    ),
    "identity-not-granted": (
        "The CI gives this job no identity token.",
        "Grant it: `permissions: {id-token: write}` on GitHub, `id_tokens:` with `aud: sigstore` on GitLab.",
    ),
    "identity-malformed": (
        "What was given as an identity token is none.",
        "Name the token itself, or @FILE with nothing in the file but the token.",
    ),
    "identity-audience-mismatch": (
        "The identity token was made for another service.",
        "Ask the identity provider for a token with the audience `sigstore`.",
    ),
    "identity-expired": (
        "The identity token has expired.",
        "Such tokens live for minutes: get it right before it is used, or run the job again.",
    ),
    "identity-refused": (
        "The certificate authority gives no certificate for this identity token.",
        "The message says why: it must know the token's issuer, and the token must be unexpired and whole.",
    ),
    "key-passphrase-missing": (
        "The private key is encrypted, and no passphrase was given.",
        "Set SAMEBITS_KEY_PASSPHRASE or COSIGN_PASSWORD.",
    ),
    "key-passphrase-wrong": (
        "The passphrase does not open the private key.",
        "Check SAMEBITS_KEY_PASSPHRASE and COSIGN_PASSWORD; the first one wins.",
    ),
    "oidc-flow-invalid": ("The login with the identity provider went wrong.", "Begin it again; nothing was sent."),
}

_NOT_FOUND: Final[_Rows] = {
    "waiver-unknown": ("There is no such waiver.", "`samebits waive list` shows those that were given."),
    "image-not-found": (
        "There is no such image.",
        "Check the tag or digest, and that it is in the repository of the stage before: `samebits definition show`.",
    ),
    "blob-not-found": (
        "A part of the image is not there.",
        "Push the image again; the registry has lost or cleaned away some of it.",
    ),
    "upload-not-found": (
        "The upload is not known any more.",
        "Begin it again; an upload that is left alone for long is cleaned away.",
    ),
    "repository-not-found": (
        "There is no such repository, and it can't be made by pushing.",
        "Create the repository at the registry first.",
    ),
}

_UNAVAILABLE: Final[_Rows] = {
    "registry-unavailable": (
        "The registry did not answer as it should.",
        "Run it again; check the address if it stays.",
    ),
    "answer-unexpected": (
        "The answer is not one that the protocol knows.",
        "Run it again; see whether a proxy or another program answers at this address.",
    ),
    "upload-busy": ("Somebody else is writing to this upload.", "Run it again when that is over."),
    "deadline-exceeded": ("It took too long.", "Run it again; what was moved already is not moved twice."),
    "docker-unavailable": (
        "The Docker engine does not answer as it should.",
        "Start it, or check DOCKER_HOST and the rights on its socket.",
    ),
    "attestation-not-visible": (
        "A record was written, but the registry does not list it.",
        "Run it again. No tag was moved; others may be writing at the same time.",
    ),
    "destination-incomplete": (
        "The destination does not serve everything that was pushed.",
        "Run it again: what it lacks is uploaded again. If it stays so, its storage is damaged or is being cleaned.",
    ),
    "referrers-incomplete": (
        "Not all records arrived at the destination.",
        "Run it again. No tag was moved.",
    ),
    "tag-conflict": (
        "The tag points at something else than expected.",
        "Find out who set it. If another promotion came first, run this one again.",
    ),
    "promotion-incomplete": ("A promotion did not come to its end.", "Run it again; it goes on where it was."),
    "audit-incomplete": ("Not everything could be looked at.", "Run it again when all registries answer."),
    "local-storage-failed": (
        "A file could not be written.",
        "Make room, or correct the folder's rights; run it again.",
    ),
    "admission-timeout": ("The answer did not come in time.", "Try again; what could not be checked is not let in."),
    "verdict-stale": ("The verdict is too old to be used.", "Ask again; the image is then judged anew."),
    "duplicate-request": ("The request was done already.", "Nothing is to do; the first result counts."),
    "request-unanswered": ("A request got no result.", "Send it again; doing it twice changes nothing."),
    "key-unavailable": (
        "The keeper of the key can't be asked.",
        "Run it again when it answers; what was moved already is not moved twice.",
    ),
    "scanner-unavailable": ("The malware scanner can't be asked.", "See that it runs, and run the command again."),
    "signing-unavailable": (
        "The certificate authority or the transparency log can't be asked.",
        "Run it again; what was moved already is not moved twice.",
    ),
    "timestamp-missing": (
        "The timestamp authority gave no time stamp, so nothing would prove when it was signed.",
        "Run it again when the authority answers; nothing was attached.",
    ),
}

_WAITING: Final[_Rows] = {
    "approval-missing": ("Approvals are missing.", "Ask for them, then run it again."),
    "stage-frozen": ("Nothing is admitted at this time.", "Run it again when the definition's `freeze` is over."),
    "soak-too-short": ("The image has not been in the stage before for long enough.", "Run it again later."),
}

_USAGE: Final[_Rows] = {
    "usage": ("The command can't be understood.", "See `samebits --help`, or `--help` after the command."),
    "definition-invalid": (
        "The definition or trust file has a fault.",
        "It is at the line and column given; `samebits definition check` shows all of them.",
    ),
    "policy-key-unknown": (
        "The definition has a key or gate that does not exist.",
        "A rule that is not known would not be applied. Correct its name at the line and column given.",
    ),
    "policy-too-wide": ("A rule lets in more than it should.", "Name exactly what is meant, without wildcards."),
    "definition-not-found": (
        "There is no definition here.",
        "Name it with --definition FILE, or write one: `samebits init DIR`.",
    ),
    "config-not-named": (
        "No trust file was named.",
        "Name it with --trust FILE or SAMEBITS_TRUST; it is never taken from the current folder by itself.",
    ),
    "approval-not-asked": (
        "The stage asks for no approvals.",
        "`samebits definition show` lists the gates of every stage.",
    ),
    "approval-declined": ("The approver said no.", "Nothing was signed, and nothing was changed."),
    "stage-unknown": ("The definition has no such stage.", "`samebits definition show` lists them."),
    "step-unknown": ("The stage has no such step.", "`samebits definition show` lists the steps of every stage."),
    "reference-malformed": (
        "The text does not name an image.",
        "Write host/repository:tag or host/repository@sha256:…; a bare tag or digest where the stage is known.",
    ),
    "key-malformed": (
        "The file holds no key that can be read.",
        "Private keys are PEM in PKCS #8, public keys PEM; one key per file.",
    ),
    "key-unsupported": (
        "The key is of a kind that is not used.",
        "Make one: openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out NEW.key",
    ),
    "trust-config-malformed": (
        "The description of the Sigstore instance can't be used.",
        "--trust-config names a client trust config, or a signing config and a trusted root, as JSON.",
    ),
    "trust-root-malformed": (
        "The file is no trusted root that can be read.",
        "Write it with `cosign trusted-root create`, or take it from the TUF repository of your Sigstore.",
    ),
    "file-unreadable": ("A file can't be read.", "Check its name and its rights."),
    "file-exists": ("A file is there already.", "Nothing is overwritten; choose another folder, or move it away."),
    "format-unknown": ("There is no such format.", "The message names those that there are."),
    "report-missing": (
        "The step asks for a report.",
        "Add it: --report FORMAT=FILE with the format that the definition names.",
    ),
    "step-command-missing": (
        "There is no command to run, or it can't be run.",
        "Give one after `--`, or record a report with --report FORMAT=FILE.",
    ),
    "step-is-attested": (
        "The step is an attestation of others.",
        "Nothing is recorded for it: have one of the step's signers attest it, with cosign or another tool.",
    ),
    "step-subject-differs": (
        "A step on the source is done on a commit, every other one on an image.",
        "`samebits step STAGE STEP git:COMMIT --into FOLDER`, and once the image is there: `… IMAGE --from FOLDER`.",
    ),
    "step-not-kept": (
        "The folder has no record of this step that can be attached.",
        "Do the step on the commit: `samebits step STAGE STEP git:COMMIT --into FOLDER`.",
    ),
    "step-command-differs": (
        "The definition says which command this step runs.",
        "Leave the command out; to run another one, change the definition and have it signed.",
    ),
    "authorities-missing": (
        "A file of trusted authorities was named that is not there.",
        "Correct --registry-ca, or unset SSL_CERT_FILE, SSL_CERT_DIR, REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE.",
    ),
    "certificates-unusable": (
        "A file of authorities, or our own certificate, can't be used.",
        "It must be PEM; NAME.cert needs its key NAME.key beside it, without a passphrase.",
    ),
    "address-unavailable": ("The address can't be listened on.", "Choose another port; 0 takes a free one."),
    "logins-malformed": (
        "The file with the logins of the embedded registry can't be read.",
        """Write it anew, one line for each name: printf 'NAME:%s\\n' "$(openssl passwd -6)" >> FILE""",
    ),
    "logins-unsupported": (
        "A password in the file is hashed in a way that is not taken.",
        """Hash it with SHA-512 crypt: printf 'NAME:%s\\n' "$(openssl passwd -6)" >> FILE""",
    ),
    "password-exposed": (
        "Passwords would cross the network in plain text.",
        "Give the registry a certificate: --tls-cert FILE --tls-key FILE.",
    ),
    "server-certificate-invalid": (
        "The certificate or its private key can't be used.",
        "Both are PEM files; the chain begins with the server's own certificate, and the key is not encrypted.",
    ),
    "place-read-only": ("Nothing can be put at this place.", "Name a registry or an OCI layout folder."),
    "tag-ambiguous": ("A layout gives one name to several images.", "Name the image by its digest."),
}

_INTERRUPTED: Final[_Rows] = {
    "run-interrupted": (
        "The run was interrupted.",
        "No tag was moved by what was left undone. Run it again; it goes on where it was.",
    ),
}

_BUG: Final[_Rows] = {
    "internal-error": ("A bug in samebits.", "Please report it with the command and this message; nothing was let in."),
    "demo-failed": ("The demonstration did not go as it must.", "Please report it with what was printed."),
}


def _table(groups: Iterable[tuple[Exit, _Rows]]) -> Mapping[str, Advice]:
    return MappingProxyType({code: Advice(exit_code, *row) for exit_code, rows in groups for code, row in rows.items()})


REASONS: Final[Mapping[str, Advice]] = _table(
    (
        *((Exit.INTEGRITY, rows) for rows in (_BYTES, _NETWORK, _BUNDLES, _CHAIN)),
        (Exit.BLOCKED, _BLOCKED),
        (Exit.UNAUTHORIZED, _UNAUTHORIZED),
        (Exit.NOT_FOUND, _NOT_FOUND),
        (Exit.UNAVAILABLE, _UNAVAILABLE),
        (Exit.WAITING, _WAITING),
        (Exit.USAGE, _USAGE),
        (Exit.INTERRUPTED, _INTERRUPTED),
        (Exit.BUG, _BUG),
    )
)
