"""One round as pure functions and values: no time, no agent, no Gymnasium."""
