"""Reading of a dataset's objects: formats, options of text, columns and partitions."""
