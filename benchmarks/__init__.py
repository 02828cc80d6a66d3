"""Compare Fleetscore's speed with a process-pool loop, its peers, and in-memory scoring."""
