"""The objects in the stage's buckets, from datasets to summaries."""
