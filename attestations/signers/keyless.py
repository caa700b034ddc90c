"""Signing without a key of one's own: a certificate for minutes, for whom an identity token names. sigstore's one door.

One certificate signs everything in a run; before it expires, a new one is asked for with a fresh token. `sigstore` is
slow to load, so it is imported where it is used, and asked through its public names alone. NOTE: it sets no limit to
how long most exchanges take; each has one here, after which its thread is left behind.
"""

from __future__ import annotations

import contextlib
import logging
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from attestations.bundle import Bundle
from attestations.bundle_verifier import BundleVerifier, Sigstore, check_identity
from attestations.certificates import read_leaf
from attestations.errors import AttestationError
from attestations.identity import KeylessIdentity, Role
from attestations.signers.tokens import NAME_ONE, TokenSource, check_claims
from attestations.signers.trust_config import TrustConfig
from attestations.statement import Statement
from attestations.trusted_root import TrustedRoot
from registries.errors import Refusal, Unauthorized, Unavailable, UsageError

if TYPE_CHECKING:
    from sigstore.models import Bundle as TheirBundle
    from sigstore.models import ClientTrustConfig
    from sigstore.sign import Signer as TheirSigner

EXCHANGE_SECONDS: Final = 60.0
_MARGIN: Final = timedelta(seconds=90)
"""How long a certificate must still last to be used: the time stamp and the log entry come after the signature."""

_SAID_CHARACTERS: Final = 200
_REFUSED: Final = (400, 401, 403)
_TOKEN: Final = re.compile(r"eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)?")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Issued:
    """A certificate, the signer that holds its key, whom it names, and whether each signature is time-stamped."""

    signer: TheirSigner
    issuer: str
    subject: str
    expires: datetime
    stamped: bool
    claims: Mapping[str, str]


@dataclass(slots=True, kw_only=True)
class KeylessSigner:
    """Signs with certificates of one Sigstore instance; `config` is None for the public one.

    Every bundle is verified before it is handed out: against `pinned`, what the trust file says, else against the root
    of `config`, else by sigstore against the public root. `clock` tells when a certificate has to be renewed.
    """

    config: TrustConfig | None
    tokens: TokenSource
    clock: Callable[[], datetime]
    pinned: Sigstore | None = None
    seconds: float = EXCHANGE_SECONDS
    _trusted: ClientTrustConfig | None = field(default=None, init=False, repr=False)
    _issued: _Issued | None = field(default=None, init=False, repr=False)

    @property
    def public_name(self) -> str:
        """The subject and the issuer of the certificate."""
        issued = self._certificate()
        return f"{issued.subject} from {issued.issuer}"

    def is_one_of(self, role: Role) -> bool:
        """Whether the role has a signer whom the certificate names."""
        issued = self._certificate()
        return any(
            isinstance(one, KeylessIdentity)
            and one.issuer == issued.issuer
            and one.is_named(issued.subject)
            and all(issued.claims.get(claim) == value for claim, value in one.claims)
            for one in role.signers
        )

    def sign(self, statement: Statement) -> Bundle:
        """The statement's exact bytes in a bundle with certificate, log entry and time stamp, which was verified."""
        from sigstore.dsse import Statement as TheirStatement

        issued, theirs, heard = self._certificate(), TheirStatement(statement.content), list[str]()
        try:
            made = self._ask("the transparency log", lambda: issued.signer.sign_dsse(theirs), heard)
        except Unavailable as error:
            if heard:  # sigstore goes on without a time stamp, and then fails where one is needed
                raise _unstamped(heard) from error
            raise
        bundle = Bundle.from_bytes(made.to_json().encode(), where="the new bundle")
        if bundle.envelope.payload != statement.content:
            raise AttestationError("payload-malformed", "the new bundle does not hold what was to be signed")
        if issued.stamped and not bundle.material.timestamps:
            raise _unstamped(heard)
        believed = self._believed()
        if believed is None:
            self._verify_publicly(made, issued)
        else:
            self._verify(bundle, issued, believed)
        return bundle

    def _believed(self) -> Sigstore | None:
        if self.pinned is not None or self.config is None:
            return self.pinned
        return Sigstore(root=TrustedRoot.from_bytes(self.config.trusted_root))

    def _verify(self, bundle: Bundle, issued: _Issued, believed: Sigstore) -> None:
        proven = BundleVerifier(believed.root, believed.requirements).certified(bundle)
        check_identity(proven, KeylessIdentity(name="this run", issuer=issued.issuer, subject=issued.subject))

    def _verify_publicly(self, made: TheirBundle, issued: _Issued) -> None:
        from sigstore.errors import VerificationError
        from sigstore.verify import Verifier
        from sigstore.verify.policy import Identity

        try:
            policy = Identity(identity=issued.subject, issuer=issued.issuer)
            Verifier(trusted_root=self._trust().trusted_root).verify_dsse(made, policy)
        except (VerificationError, ValueError) as error:
            raise AttestationError("signature-invalid", f"the new bundle does not verify: {_said(error)}") from error

    def _certificate(self) -> _Issued:
        """The certificate in use; a new one when there is none, or when it does not last."""
        if self._issued is None or self.clock() + _MARGIN > self._issued.expires:
            self._issued = self._request()
        return self._issued

    def _request(self) -> _Issued:
        from sigstore.oidc import IdentityError, IdentityToken
        from sigstore.sign import SigningContext

        raw = self._ask(self.tokens.name, self.tokens.fetch)
        check_claims(raw, self.clock(), where=self.tokens.name)
        try:
            token = IdentityToken(raw)
        except IdentityError as error:
            raise Unauthorized("identity-malformed", str(error), where=self.tokens.name) from error
        trusted = self._trust()
        services = _read(lambda: trusted.signing_config)
        authority = _Authority(services.get_fulcio())
        context = SigningContext(
            fulcio=authority,  # type: ignore[arg-type]
            rekor=services.get_tlogs()[0],
            trusted_root=_read(lambda: trusted.trusted_root),
            tsa_clients=services.get_tsas(),
        )
        opened = contextlib.ExitStack()
        signer = self._ask("the certificate authority", lambda: opened.enter_context(context.signer(token, cache=True)))
        issuer, subject = _named(authority.certificate)
        expires = authority.certificate.not_valid_after_utc
        claims = read_leaf(authority.certificate.public_bytes(Encoding.DER)).claims
        return _Issued(signer, issuer, subject, expires, stamped=bool(services.get_tsas()), claims=claims)

    def _trust(self) -> ClientTrustConfig:
        if self._trusted is None:
            self._trusted = _trusted(self.config, self.seconds)
        return self._trusted

    def _ask(self, whom: str, exchange: Callable[[], T], heard: list[str] | None = None) -> T:
        return _ask(whom, exchange, self.seconds, heard)


def stamps(config: TrustConfig, signature: bytes, seconds: float = EXCHANGE_SECONDS) -> tuple[bytes, ...]:
    """The time stamps (RFC 3161) of an instance's authorities over a signature, unverified; `timestamp-missing`."""
    services = _read(lambda: _trusted(config, seconds).signing_config)
    if not services.get_tsas():
        raise UsageError("trust-config-malformed", "the signing config names no timestamp authority")
    try:
        return tuple(
            _ask("the timestamp authority", partial(one.request_timestamp, signature), seconds).as_bytes()
            for one in services.get_tsas()
        )
    except Unavailable as error:
        raise _unstamped([error.reasons[0].message]) from error


def _trusted(config: TrustConfig | None, seconds: float) -> ClientTrustConfig:
    """What sigstore is told of the instance; of the public one it asks the TUF repository, and keeps a cache."""
    from sigstore.models import ClientTrustConfig

    if config is None:
        return _ask("the public Sigstore's trust root", ClientTrustConfig.production, seconds)
    return _read(lambda: ClientTrustConfig.from_json(config.client.decode()))


def _ask(whom: str, exchange: Callable[[], T], seconds: float, heard: list[str] | None = None) -> T:
    """What comes of an exchange with others, in time; whatever goes wrong becomes a refusal.

    What sigstore warns of meanwhile goes into `heard`, and never to stderr.
    """
    answers: list[T] = []
    problems: list[BaseException] = []

    def run() -> None:
        try:
            answers.append(exchange())
        except BaseException as error:  # noqa: BLE001  raised again by whoever waits
            problems.append(error)

    thread = threading.Thread(target=run, name=f"samebits: {whom}", daemon=True)
    with _listening(heard if heard is not None else []):
        thread.start()
        thread.join(seconds)
    if problems:
        raise _refusal(whom, problems[0]) from problems[0]
    if not answers:
        raise Unavailable("deadline-exceeded", f"no answer after {seconds:.0f} s", where=whom)
    return answers[0]


def detect(audience: str) -> str | None:
    """An identity token from the CI that this is: GitHub, Google Cloud, Buildkite, GitLab, CircleCI; None elsewhere."""
    from sigstore.oidc import IdentityError, detect_credential

    try:
        return detect_credential(audience)
    except IdentityError as error:
        raise _refusal("the CI", error) from error


class _Authority:
    """sigstore's client of the certificate authority, which keeps what was issued.

    Whom a certificate names has to be known before anything is signed, and sigstore tells it only of a finished bundle.
    """

    certificate: x509.Certificate

    def __init__(self, client: Any) -> None:
        self._client = client

    @property
    def signing_cert(self) -> _Authority:
        return self

    def post(self, request: x509.CertificateSigningRequest, identity: Any) -> Any:
        answer = self._client.signing_cert.post(request, identity)
        self.certificate = answer.cert
        return answer


def _read(make: Callable[[], T]) -> T:
    """A part of a trust configuration, which sigstore reads only when it is asked for."""
    try:
        return make()
    except Exception as error:
        raise UsageError("trust-config-malformed", f"sigstore can't use it: {_said(error)}") from error


def _refusal(whom: str, error: BaseException) -> BaseException:
    """What a failed exchange means. Most of sigstore's own classes are private; the answer behind them tells."""
    from sigstore.errors import VerificationError
    from sigstore.oidc import IdentityError

    match error:
        case Refusal():
            return error
        case IdentityError():
            message = f"the CI gave no identity token: {_said(error)}"
            return Unauthorized("identity-not-granted", message, where=whom, hint=NAME_ONE)
        case VerificationError():
            message = f"the new certificate is not promised by a log that is trusted: {_said(error)}"
            return AttestationError("certificate-timestamp-invalid", message, where=whom)
        case Exception():
            answer = getattr(error.__cause__, "response", None)
            if answer is None:
                return Unavailable("signing-unavailable", f"no proper answer: {_said(error)}", where=whom)
            message = f"it answered {answer.status_code}: {_quoted(answer.text)}"
            if answer.status_code in _REFUSED:
                return Unauthorized("identity-refused", message, where=whom)
            return Unavailable("signing-unavailable", message, where=whom)
        case _:
            return error


def _unstamped(heard: list[str]) -> Unavailable:
    said = "; ".join(heard) or "the timestamp authority sent none"
    return Unavailable("timestamp-missing", f"the signature has no time stamp: {_quoted(said)}")


def _said(error: Exception) -> str:
    return _quoted(str(error) or type(error).__name__)


def _quoted(text: str) -> str:
    """Text of others, cut, with no token in it and nothing that a terminal would obey."""
    return f"{_TOKEN.sub('…', text)[:_SAID_CHARACTERS]!r}"


def _named(certificate: x509.Certificate) -> tuple[str, str]:
    """The issuer and the subject of a certificate: exactly one of each, or `certificate-invalid`."""
    leaf = read_leaf(certificate.public_bytes(Encoding.DER), where="the new certificate")
    if leaf.issuer is None or len(leaf.names) != 1:
        raise AttestationError("certificate-invalid", "the new certificate does not name one issuer and one subject")
    return leaf.issuer, leaf.names[0]


@contextlib.contextmanager
def _listening(heard: list[str]) -> Iterator[None]:
    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            heard.append(record.getMessage())

    logger, listener = logging.getLogger("sigstore"), Listener(logging.WARNING)
    logger.addHandler(listener)
    try:
        yield
    finally:
        logger.removeHandler(listener)
