"""`fleetscore doctor --job`: one processing job that tests the container code's assumptions."""
