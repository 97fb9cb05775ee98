"""The simulated system over rounds, and all translation from a scenario to its parts."""
