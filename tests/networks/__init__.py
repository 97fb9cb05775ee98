"""The field's networks, as their libraries make them, held against plain PyTorch (``make test-networks``)."""
