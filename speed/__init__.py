"""Speed measured side by side; ``make speed`` runs it all."""
