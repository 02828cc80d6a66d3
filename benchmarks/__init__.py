"""How fast Fleetscore scores, against the article's own loop, its peers and what the machine could do at most."""
