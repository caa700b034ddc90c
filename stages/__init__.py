"""What each stage demands of an image: evidence in, verdict out. Nothing here does I/O."""
