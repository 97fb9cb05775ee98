"""Random use of everything a user touches: each case works with finite numbers, or fails with an error of ours.

``make fuzz`` plays all cases; ``python -m tests.fuzz --help`` tells how to play some, or one again.
"""
