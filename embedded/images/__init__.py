"""Container images without Docker: a Dockerfile's folder and entry point."""
