"""Ways to train the devices' copies of the network for a round, and the rule that chooses among them."""
