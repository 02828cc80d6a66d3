"""Real data and model fleets for the demo and the tests."""
