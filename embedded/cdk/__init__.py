"""Synthesizing the CDK app and deploying what it wrote."""
