"""What a registry answered: status, headers, and a body that is streamed once, undecoded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Final, Self

from registries.errors import ContentError, Refusal
from registries.limits import KIB
from registries.strict_json import loads_object
from registries.wire import Response, Wire, escaped

_SUCCESSFUL: Final = range(200, 300)
_DETAIL_BYTES: Final = 8 * KIB


class Answer:
    """Status and headers. The body is streamed once if it was wanted; else only a beginning is kept."""

    def __init__(self, response: Response, *, url: str, where: str, wire: Wire, sent: float, streamed: bool) -> None:
        """`sent`: when its turn came; `streamed`: a successful one is read by the caller."""
        self._response = response
        self._where = where
        self._wire = wire
        self.url = url
        self.sent = sent
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self.ok = self.status in _SUCCESSFUL
        self.detail = b"" if self.ok and streamed else self._beginning()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def content_type(self) -> str | None:
        """The media type without parameters; None when the header is absent."""
        value = self.headers.get("Content-Type")
        return None if value is None else escaped(value.partition(";")[0])

    @property
    def is_encoded(self) -> bool:
        """Whether the body is compressed, although `identity` was asked for."""
        return self.headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity")

    @property
    def codes(self) -> frozenset[str]:
        """The codes of an OCI error body. Source: OCI distribution-spec 1.1, "Error Codes"."""
        return frozenset(error["code"] for error in self._errors() if isinstance(error.get("code"), str))

    @property
    def problem(self) -> str:
        """Status and what the registry says about it. Not yet fit for a message: see `Transport.quoted`."""
        said = [f"{error.get('code', '')} {error.get('message', '')}" for error in self._errors()]
        return f"{self.status} " + ("; ".join(said) or self.detail.decode("utf-8", "replace"))

    def chunks(self) -> Iterator[bytes]:
        """The body as it was sent, undecoded. Cut short or too slow, it raises; the connection is given back."""
        try:
            yield from self._wire.chunks(self._response, self._where)
        finally:
            self.close()

    def close(self) -> None:
        """Give the connection back; one with an unread body is closed."""
        self._response.close()
        self._response.release_conn()

    def _beginning(self) -> bytes:
        beginning = b""
        with self, suppress(Refusal):  # what could not be read is only missing in a message
            for chunk in self.chunks():
                beginning += chunk
                if len(beginning) > _DETAIL_BYTES:
                    break
        return b"" if self.is_encoded else beginning[:_DETAIL_BYTES]

    def _errors(self) -> list[dict[str, Any]]:
        try:
            errors = loads_object(self.detail, limit=_DETAIL_BYTES).get("errors")
        except ContentError:
            return []
        return [error for error in errors if isinstance(error, dict)] if isinstance(errors, list) else []
