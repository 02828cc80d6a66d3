"""The four CloudFormation stacks of a stage: storage, compute, workflow and triggers."""
