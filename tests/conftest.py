"""What all tests rely on."""

import signal

# A shell that starts the tests in the background has them ignore these, and what they start ignores them too: tests
# that interrupt a program would wait for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
