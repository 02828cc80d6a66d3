"""Generated data sets and models, laid out as a scoring job finds them."""
