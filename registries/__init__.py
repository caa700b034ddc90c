"""Where images live: digests, manifests, and the places that hold them."""
