"""StartOnUpload: what is put into a dataset starts the execution that scores it, once."""
