"""`fleetscore doctor --job`: one processing job that shows what the container's code assumes."""
