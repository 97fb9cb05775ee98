"""Policies compared on the same held-out episodes, round by round against the optimum."""
