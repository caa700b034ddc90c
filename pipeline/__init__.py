"""What people do with samebits: commands, the definition, and the way of one promotion."""
