"""Who can sign, and who believes what they signed, one module each."""
