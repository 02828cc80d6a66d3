"""SageMaker in the embedded AWS: the service's API, with jobs as processes on this machine."""
