"""One module per command: they read options, call a room, and show a value. No decisions."""
