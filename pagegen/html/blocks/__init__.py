"""Blocks of a page as HTML, each with its marked regions."""
