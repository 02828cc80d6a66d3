"""ministack's HTTP application, the services behind it, and checks of every request."""
