"""Networks that keep the devices' rows apart, as Stable-Baselines3 policies."""
