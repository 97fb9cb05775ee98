"""Ways of learning that are told more than an agent in an environment is: the solver's answers, or the physics.

Agents that come of them are the same policies in the same files, and are recorded and told as what they are: what
they reach says nothing of learning from reward.
"""
