"""StartOnUpload: uploads to a dataset start the execution that scores them."""
