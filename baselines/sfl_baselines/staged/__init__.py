"""Rounds whose devices wait for each other between stages: their problem, solvers, and a bound below all decisions."""
