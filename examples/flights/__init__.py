"""All flights that left New York in 2013, and a fleet that predicts which ones arrive late."""
