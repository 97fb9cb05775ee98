"""The command line, comparisons and experiments of sfl-env."""
