"""The model catalog: models, their versions, and the formats and images that serve them."""
