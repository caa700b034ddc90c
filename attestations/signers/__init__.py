"""Who can sign, and who believes what they signed, one module each. SIGNERS is the table, by URI scheme."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from attestations.signers.key import KeySigner
from attestations.verify import Signer

# A path without a scheme is a `file`; its signer gets the file's content and the passphrase, if there is one. Keyless
# signing is no scheme: it is what happens without a key (`keyless`, which is slow to load and so not in the table).
# Not in the table: `awskms`, `gcpkms`, `azurekms`, `hashivault` and `pkcs11`, whose exchanges have not been tested
# against the real thing.
SIGNERS: Final[Mapping[str, Callable[[bytes, bytes | None], Signer]]] = MappingProxyType({"file": KeySigner.from_pem})
