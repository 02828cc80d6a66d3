"""`fleetscore doctor`: checks that prove an account ready, each a function that returns findings."""
