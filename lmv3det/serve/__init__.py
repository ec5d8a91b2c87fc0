"""A server: a page for people, and an API for programs.

Imports `inference`, `visualization` and what is below.
"""
