"""Policies compared by the lengths of rounds, each beside the shortest possible one."""
