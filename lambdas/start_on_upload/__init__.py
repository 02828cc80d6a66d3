"""StartOnUpload: start the executions that score uploads to a dataset."""
