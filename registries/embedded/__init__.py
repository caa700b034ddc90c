"""The endpoints of the embedded registry, as an ASGI application over one OCI layout per repository."""
