"""Learning curves of policies and training schemes on the same data, weights and channels."""
