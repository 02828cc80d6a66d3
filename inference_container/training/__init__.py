"""Trains one version of one model as a SageMaker training job.

It reads files, and writes the content of model.tar.gz and a report.
"""
