"""Training of Stable-Baselines3 agents on the environment as it is."""
