"""Learned policies and the command line for sfl-env."""
