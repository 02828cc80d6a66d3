"""Compare how fast Fleetscore scores with a plain loop, with its peers, and with work in memory."""
