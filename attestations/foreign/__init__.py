"""What other tools attach to an image in forms of their own: one module per writer, from bytes to what it is."""
