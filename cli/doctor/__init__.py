"""`fleetscore doctor`: checks of an account, each a function that returns findings."""
