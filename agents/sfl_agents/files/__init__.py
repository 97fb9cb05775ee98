"""Agents, checkpoints and run folders in files, none of which can run code."""
