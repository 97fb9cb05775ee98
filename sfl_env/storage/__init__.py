"""Results and other values in files."""
