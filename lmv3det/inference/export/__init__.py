"""A detector as a file that other runtimes read."""
