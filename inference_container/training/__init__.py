"""Trains one version of one model as a SageMaker training job: files in, model.tar.gz's content and a report out."""
