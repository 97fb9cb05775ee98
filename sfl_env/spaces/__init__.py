"""What an agent touches: actions, observations and rewards."""
