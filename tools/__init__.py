"""Tools that make what the package contains; not installed with it."""
