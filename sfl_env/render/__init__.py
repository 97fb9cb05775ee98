"""A round as a picture; the only door to matplotlib."""
