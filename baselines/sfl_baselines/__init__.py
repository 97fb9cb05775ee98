"""Reference solvers and heuristic policies for sfl-env."""
