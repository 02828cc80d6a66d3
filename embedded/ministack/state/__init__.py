"""The state of all of ministack's services: figures and snapshots."""
