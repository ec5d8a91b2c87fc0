"""Corpora: documents from folders, tar files and object stores to Parquet files, in one process or
on a Ray cluster.

May import what is below the command line but training: data, inference, ocr and what they need.
"""
