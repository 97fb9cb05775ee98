"""Accuracy mode: a real network trained round by round, split between devices and a server.

Importing this package imports torch; nothing that ``import sfl_env`` loads does.
"""
