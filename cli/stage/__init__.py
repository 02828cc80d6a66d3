"""What talks to a deployed stage."""
