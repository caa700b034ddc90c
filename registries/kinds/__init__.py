"""The kinds of places that hold images, by the scheme that names them. REGISTRIES is the table."""
