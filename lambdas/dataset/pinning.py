"""What of a dataset's folder is data."""


def is_data(key: str) -> bool:
    """Whether an object counts, by its key relative to the dataset.

    Folder placeholders do not, nor does what has a name or lies in a folder that begins with "_" or ".", as Spark and
    Hive read folders: what a writer has not committed yet lies there.
    """
    *folders, name = key.split("/")
    # A folder such as `_year=2013` is a partition whose column has that name.
    hidden = any(folder.startswith((".", "_")) and "=" not in folder for folder in folders if folder not in (".", ".."))
    return bool(name) and not name.startswith(("_", ".")) and not hidden
