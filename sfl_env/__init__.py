"""Gymnasium environment for resource allocation in split federated learning over wireless networks."""
