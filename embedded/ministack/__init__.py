"""The only code that uses private names of ministack, and the only one that imports it.

ministack is pinned to one version. Each function here depends on one of its private names, and has
a test that fails when a new version renames it. ministack reads its environment variables at
import, so these functions import it when they are called.
"""
