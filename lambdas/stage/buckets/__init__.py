"""The objects in the three buckets: datasets, artifacts, specs, manifests, ledgers and summaries."""
