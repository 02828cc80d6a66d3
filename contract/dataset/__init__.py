"""How a dataset's objects are read: formats, options of text, columns and partitions."""
