"""The few tools that everything else is made of."""
