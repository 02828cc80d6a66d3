"""How the rows of a dataset's objects are read: formats, columns and partitions."""
