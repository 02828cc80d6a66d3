"""Synthesis of a CDK app, and deployment of the result, without the CDK CLI."""
