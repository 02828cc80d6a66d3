"""Container images without Docker: image URIs, their files and how containers start."""
