"""The demonstration: a small image goes from build to production, then five forgeries are tried and refused."""
