"""Roles of a stage: who may assume them, and which calls their policies allow."""
